# SPDX-License-Identifier: MIT
# Shared state, by BitBake's own means and OE-core's names: what a task of SSTATETASKS leaves in its
# sstate-inputdirs (moved to sstate-outputdirs) and sstate-plaindirs is kept in SSTATE_DIR under the
# task's hash, and its setscene task takes it from there, in any build directory that shares it.

SSTATE_DIR ?= "${TOPDIR}/sstate-cache"
SSTATETASKS ?= ""
BB_HASHCHECK_FUNCTION = "sstate_checkhashes"
BB_SETSCENE_DEPVALID = "setscene_depvalid"

python () {
    for task in sorted(set(d.getVar("SSTATETASKS").split())):
        d.appendVarFlag(task, "postfuncs", " sstate_task_postfunc")
}

def sstate_archive(directory, task, taskhash):
    return os.path.join(directory, taskhash[:2], "sstate-%s-%s.tar" % (taskhash, task))

def sstate_checkhashes(sq_data, d, siginfo=False, currentcount=0, summary=True, **kwargs):
    """The setscene tasks whose results are there."""
    directory = d.getVar("SSTATE_DIR")
    found = set()
    for tid, taskhash in sq_data["hash"].items():
        task = bb.runqueue.taskname_from_tid(tid).replace("_setscene", "")
        if os.path.isfile(sstate_archive(directory, task, taskhash)):
            found.add(tid)
    return found

def setscene_depvalid(task, taskdependees, notneeded, d, log=None):
    """Whether nobody needs `task` restored: what was made from packages is whole without them."""
    return taskdependees[task][1] == "do_package"

def sstate_directories(task, d):
    """(name in the archive, directory that the task fills, where it goes or None) of each."""
    pairs = zip(
        (d.getVarFlag(task, "sstate-inputdirs") or "").split(),
        (d.getVarFlag(task, "sstate-outputdirs") or "").split(),
    )
    found = [("moved-%d" % number, source, target) for number, (source, target) in enumerate(pairs)]
    plain = (d.getVarFlag(task, "sstate-plaindirs") or "").split()
    return found + [("plain-%d" % number, source, None) for number, source in enumerate(plain)]

def sstate_install(task, d):
    """Copy what a task made to where others look for it, each file whole or not at all."""
    import shutil

    for _, source, target in sstate_directories(task, d):
        for name in package_files(source) if target else []:
            destination = os.path.join(target, name)
            bb.utils.mkdirhier(os.path.dirname(destination))
            bb.utils.remove(destination + ".new")
            shutil.copy2(os.path.join(source, name), destination + ".new", follow_symlinks=False)
            os.rename(destination + ".new", destination)

python sstate_task_postfunc() {
    import tarfile

    task = d.getVar("BB_RUNTASK")
    path = sstate_archive(d.getVar("SSTATE_DIR"), task, d.getVar("BB_TASKHASH"))
    bb.utils.mkdirhier(os.path.dirname(path))
    fresh = "%s.%d" % (path, os.getpid())
    with tarfile.open(fresh, "w") as archive:
        for name, source, _ in sstate_directories(task, d):
            archive.add(source, name)
    os.rename(fresh, path)
    sstate_install(task, d)
}

def sstate_setscene(d):
    import shutil
    import tarfile

    task = d.getVar("BB_RUNTASK").replace("_setscene", "")
    path = sstate_archive(d.getVar("SSTATE_DIR"), task, d.getVar("BB_TASKHASH"))
    places = {name: source for name, source, _ in sstate_directories(task, d)}
    for source in places.values():
        bb.utils.remove(source, recurse=True)

    def place(name):
        first, _, rest = name.partition("/")
        return os.path.join(places[first], rest)

    with tarfile.open(path) as archive:
        for member in archive:
            target = place(member.name)
            if member.isdir():
                bb.utils.mkdirhier(target)
            elif member.issym():
                os.symlink(member.linkname, target)
            elif member.islnk():
                os.link(place(member.linkname), target)
            else:
                with open(target, "wb") as stream:
                    shutil.copyfileobj(archive.extractfile(member), stream)
                os.chmod(target, member.mode)
                os.utime(target, (member.mtime, member.mtime))
    sstate_install(task, d)
