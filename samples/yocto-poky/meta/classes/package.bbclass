# SPDX-License-Identifier: MIT
# do_package: the installed files again in package/, kernel modules stripped as OE-core strips them,
# split into packages-split/PACKAGE by FILES. package/ and packages-split/ are hard links to each other;
# image/ keeps the unstripped files. do_packagedata: each package is described in pkgdata.

STRIP_MODULE = "${TARGET_PREFIX}strip --strip-debug"
STRIP_MODULE:toolchain-zig = "${LD} -r -T ${COREBASE}/meta/files/strip-debug.lds"

def package_matches(path, patterns):
    """Whether `path` (absolute on the target) is one of `patterns` or lies below one."""
    import fnmatch

    parts = [path]
    while path not in ("/", ""):
        path = os.path.dirname(path)
        parts.append(path)
    return any(fnmatch.fnmatchcase(part, pattern.rstrip("/") or "/") for part in parts for pattern in patterns)

def package_files(top):
    """The paths of all files and links below `top`, relative to it, in one fixed order."""
    found = []
    for directory, subdirectories, files in os.walk(top):
        links = [name for name in subdirectories if os.path.islink(os.path.join(directory, name))]
        found += [os.path.relpath(os.path.join(directory, name), top) for name in files + links]
    return sorted(found)

def package_strip_module(path, d):
    import shlex
    import subprocess

    command = shlex.split(d.getVar("STRIP_MODULE")) + ["-o", path + ".stripped", path]
    subprocess.run(command, check=True)
    mode = os.stat(path).st_mode & 0o7777
    os.rename(path + ".stripped", path)
    os.chmod(path, mode)

def package_describe(package, files, d):
    """Write pkgdata/MACHINE/runtime/PACKAGE in the form that oe-pkgdata-util reads."""
    import json

    top = os.path.join(d.getVar("PKGDEST"), package)
    sizes = {"/" + name: os.lstat(os.path.join(top, name)).st_size for name in files}
    lines = ["%s: %s" % (name, d.getVar(name)) for name in ("PN", "PV", "PR")]
    lines += ["PKGV: %s" % d.getVar("PV"), "PKGR: %s" % d.getVar("PR")]
    lines += ["%s: %s" % (name, d.getVar(name)) for name in ("LICENSE", "SUMMARY")]
    lines.append("FILES:%s: %s" % (package, d.getVar("FILES:" + package) or ""))
    lines.append("FILES_INFO:%s: %s" % (package, json.dumps(sizes, sort_keys=True)))
    lines.append("PKG:%s: %s" % (package, package))
    lines.append("PKGSIZE:%s: %d" % (package, sum(sizes.values())))
    pkgdata = d.getVar("PKGDATA_INPUT")
    package_write(os.path.join(pkgdata, "runtime", package), "\n".join(lines) + "\n")
    package_write(os.path.join(pkgdata, "runtime", package + ".packaged"), "")
    reverse = os.path.join(pkgdata, "runtime-reverse", package)
    bb.utils.mkdirhier(os.path.dirname(reverse))
    os.symlink("../runtime/" + package, reverse)

def package_write(path, text):
    bb.utils.mkdirhier(os.path.dirname(path))
    with open(path + ".new", "w") as stream:
        stream.write(text)
    os.rename(path + ".new", path)

SSTATETASKS += "do_package do_packagedata"
do_package[sstate-plaindirs] = "${PKGD} ${PKGDEST}"
do_package[cleandirs] = "${PKGD} ${PKGDEST}"
do_package[dirs] = "${B}"
do_package[vardeps] = "SAMPLE_TOOLCHAIN"
addtask package after do_install
python do_package() {
    import shutil

    image, package_dir = d.getVar("D"), d.getVar("PKGD")
    rest = package_files(image)
    for name in rest:
        target = os.path.join(package_dir, name)
        bb.utils.mkdirhier(os.path.dirname(target))
        shutil.copy2(os.path.join(image, name), target, follow_symlinks=False)
        if name.endswith(".ko") and "lib/modules/" in name:
            package_strip_module(target, d)
    packages = d.getVar("PACKAGES").split()
    for package in packages:
        patterns = (d.getVar("FILES:" + package) or "").split()
        files = [name for name in rest if package_matches("/" + name, patterns)]
        rest = [name for name in rest if name not in files]
        top = os.path.join(d.getVar("PKGDEST"), package)
        bb.utils.mkdirhier(top)
        for name in files:
            target = os.path.join(top, name)
            bb.utils.mkdirhier(os.path.dirname(target))
            os.link(os.path.join(package_dir, name), target, follow_symlinks=False)
    for name in rest:
        bb.warn("%s: installed, but in no package (FILES)" % name)
}

python do_package_setscene() {
    sstate_setscene(d)
}
addtask do_package_setscene

PKGDATA_INPUT = "${WORKDIR}/pkgdata-input"
do_packagedata[sstate-inputdirs] = "${PKGDATA_INPUT}"
do_packagedata[sstate-outputdirs] = "${PKGDATA_DIR}"
do_packagedata[cleandirs] = "${PKGDATA_INPUT}"
addtask packagedata after do_package
python do_packagedata() {
    packages = d.getVar("PACKAGES").split()
    for package in packages:
        package_describe(package, package_files(os.path.join(d.getVar("PKGDEST"), package)), d)
    package_write(
        os.path.join(d.getVar("PKGDATA_INPUT"), d.getVar("PN")), "PACKAGES: %s\n" % " ".join(packages)
    )
}

python do_packagedata_setscene() {
    sstate_setscene(d)
}
addtask do_packagedata_setscene
