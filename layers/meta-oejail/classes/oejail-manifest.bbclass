# SPDX-License-Identifier: MIT
# openEuler's fetcher (openeuler.bbclass) takes commits from the file that MANIFEST_DIR names. Where
# oejail wrote one into the build directory, tasks read that: it has the commits of oejail.lock, and
# not the repositories that are to be built as they are. Set when a task starts, not in a
# configuration file, the variable's value is in no task's hash: nothing is built again for its sake.

addhandler oejail_manifest
oejail_manifest[eventmask] = "bb.build.TaskStarted"
python oejail_manifest() {
    written = os.path.join(d.getVar("TOPDIR"), "oejail-manifest.yaml")
    if os.path.exists(written):
        d.setVar("MANIFEST_DIR", written)
}
