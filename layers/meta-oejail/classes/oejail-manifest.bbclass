# SPDX-License-Identifier: MIT
# openEuler's fetcher (openeuler.bbclass) takes commits from the file that MANIFEST_DIR names. Where
# oejail wrote one into the build directory, tasks read that: it has the commits of oejail.lock, and
# not the repositories that are to be built as they are. Set when a task starts, not in a
# configuration file, the variable's value is in no task's hash: nothing is built again for its sake.
#
# Nor is in any hash what that fetcher checks out. oejail keeps a file in ${TOPDIR}/oejail-commits/NAME
# for each repository whose commit has changed since the workspace began, or that has local changes;
# with it in do_fetch's hash the recipes that use the repository are fetched and built again, and
# shared state of another commit is not taken. Where nothing has changed there is no file, and hashes
# are as without oejail.

addhandler oejail_manifest
oejail_manifest[eventmask] = "bb.build.TaskStarted"
python oejail_manifest() {
    written = os.path.join(d.getVar("TOPDIR"), "oejail-manifest.yaml")
    if os.path.exists(written):
        d.setVar("MANIFEST_DIR", written)
}

def oejail_commits(d):
    """Where the commits of a recipe's repositories would be noted, as file-checksums has it."""
    names = [d.getVar("OPENEULER_" + n) or "" for n in ("REPO_NAMES", "LOCAL_NAME", "REPO_NAME")]
    place = os.path.join(d.getVar("TOPDIR"), "oejail-commits")
    # BitBake warns of a file that is not there, but not of a pattern that nothing matches.
    return " ".join("%s/%s/*:True" % (place, name) for name in sorted(set(" ".join(names).split())))

do_fetch[file-checksums] += "${@oejail_commits(d)}"
