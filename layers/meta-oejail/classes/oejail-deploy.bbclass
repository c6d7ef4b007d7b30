# SPDX-License-Identifier: MIT
# do_oejail_deploy: what oejail collects of a recipe, as packaged (stripped, as an image gets it), goes
# to ${DEPLOY_DIR_IMAGE}/oejail/${PN}/, with an index:
#
# {"schema_version": 1, "recipe": PN, "version": PV-PR, "files": [{"path": below the index's
#  directory, "origin": on the target, "package", "sha256", "size" in bytes, "mode": as a number}]}
#
# It is a shared-state task like do_deploy: a build directory in which everything is restored has the
# files too. Each recipe has a directory of its own, so no two recipes deploy one file. For BitBake
# 1.50 (hardknott) to 2.x: nothing in here is written in an override's syntax.

OEJAIL_FILES ?= "*.ko *.bin *.elf *.cell *.dtb */bin/jailhouse */sbin/jailhouse"
OEJAIL_DEPLOYDIR = "${WORKDIR}/oejail-deploy"

SSTATETASKS += "do_oejail_deploy"
do_oejail_deploy[sstate-inputdirs] = "${OEJAIL_DEPLOYDIR}"
do_oejail_deploy[sstate-outputdirs] = "${DEPLOY_DIR_IMAGE}"
do_oejail_deploy[stamp-extra-info] = "${MACHINE_ARCH}"
do_oejail_deploy[cleandirs] = "${OEJAIL_DEPLOYDIR}"
addtask oejail_deploy after do_package before do_build
python do_oejail_deploy() {
    oejail_deploy(d)
}

python do_oejail_deploy_setscene() {
    sstate_setscene(d)
}
addtask do_oejail_deploy_setscene

# A recipe without packages (`inherit nopackages`) has nothing that an image could get.
python () {
    if not d.getVarFlag("do_package", "task", False):
        bb.build.deltask("do_oejail_deploy", d)
        bb.build.deltask("do_oejail_deploy_setscene", d)
}

def oejail_deploy_wanted(package, path, patterns):
    """Whether the file `path` (relative to the package's root) of `package` is to be deployed."""
    import fnmatch

    directories = path.split("/")[:-1]
    if package.endswith(("-dbg", "-src", "-dev", "-doc", "-staticdev")):
        return False
    if ".debug" in directories or directories[:2] == ["usr", "src"]:
        return False
    return any(fnmatch.fnmatchcase("/" + path, pattern) for pattern in patterns)

def oejail_deploy(d):
    import hashlib
    import json
    import shutil
    import stat

    packages, patterns = d.getVar("PKGDEST"), d.getVar("OEJAIL_FILES").split()
    target = os.path.join(d.getVar("OEJAIL_DEPLOYDIR"), "oejail", d.getVar("PN"))
    files = []
    for package in sorted((d.getVar("PACKAGES") or "").split()):
        top = os.path.join(packages, package)
        for directory, subdirectories, names in os.walk(top):
            subdirectories.sort()
            for name in sorted(names):
                source = os.path.join(directory, name)
                path = os.path.relpath(source, top)
                status = os.lstat(source)
                if not stat.S_ISREG(status.st_mode):
                    continue
                if not oejail_deploy_wanted(package, path, patterns):
                    continue
                mode = 0o755 if status.st_mode & 0o100 else 0o644
                copy = os.path.join(target, path)
                bb.utils.mkdirhier(os.path.dirname(copy))
                shutil.copyfile(source, copy)
                os.chmod(copy, mode)
                with open(copy, "rb") as stream:
                    content = stream.read()
                files.append({
                    "path": path,
                    "origin": "/" + path,
                    "package": package,
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "mode": mode,
                })
    bb.utils.mkdirhier(target)
    version = "%s%s-%s" % (d.getVar("EXTENDPE") or "", d.getVar("PV"), d.getVar("PR"))
    index = {
        "schema_version": 1,
        "recipe": d.getVar("PN"),
        "version": version,
        "files": sorted(files, key=lambda file: file["path"]),
    }
    with open(os.path.join(target, "oejail-index.json"), "w") as stream:
        stream.write(json.dumps(index, indent=2, sort_keys=True) + "\n")
