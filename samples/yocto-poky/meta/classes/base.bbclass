# SPDX-License-Identifier: MIT
# The tasks of every recipe: fetch, unpack, configure, compile, install, package, build. The names,
# directories and the order are OE-core's; nothing is fetched from a network.

inherit sstate package

do_fetch[dirs] = "${DL_DIR}"
do_fetch[file-checksums] = "${@bb.fetch.get_checksum_file_list(d)}"
addtask fetch
python base_do_fetch() {
    uris = (d.getVar("SRC_URI") or "").split()
    if uris:
        bb.fetch2.Fetch(uris, d).download()
}

# What an older version of a file left behind must not be compiled again.
do_unpack[dirs] = "${WORKDIR}"
do_unpack[cleandirs] = "${@d.getVar('S') if os.path.normpath(d.getVar('S')) != os.path.normpath(d.getVar('WORKDIR')) else ''}"
addtask unpack after do_fetch
python base_do_unpack() {
    uris = (d.getVar("SRC_URI") or "").split()
    if uris:
        bb.fetch2.Fetch(uris, d).unpack(d.getVar("WORKDIR"))
}

do_configure[dirs] = "${B}"
do_configure[deptask] = "do_package"
addtask configure after do_unpack
base_do_configure() {
    :
}

do_compile[dirs] = "${B}"
do_compile[vardeps] = "SAMPLE_TOOLCHAIN"
do_compile[file-checksums] = "${COREBASE}/scripts/elf-to-flat:True"
addtask compile after do_configure
base_do_compile() {
    :
}

do_install[cleandirs] = "${D}"
do_install[dirs] = "${B}"
addtask install after do_compile
base_do_install() {
    :
}

do_build[noexec] = "1"
addtask build after do_packagedata
do_build() {
    :
}

# What a task of the recipe has made, and the stamps that say so.
do_clean[nostamp] = "1"
addtask clean
python do_clean() {
    import glob

    bb.utils.remove(d.getVar("WORKDIR"), recurse=True)
    for stamp in glob.glob(d.getVar("STAMP") + ".*"):
        if "do_clean" not in os.path.basename(stamp):
            bb.utils.remove(stamp)
}

EXPORT_FUNCTIONS do_fetch do_unpack do_configure do_compile do_install

python () {
    import re

    machine, wanted = d.getVar("MACHINE"), d.getVar("COMPATIBLE_MACHINE")
    if wanted and not re.match(wanted, machine):
        raise bb.parse.SkipRecipe(
            "incompatible with machine %s (not in COMPATIBLE_MACHINE)" % machine
        )
}

# A missing compiler is said once and with its remedy, not by every task.
addhandler sample_toolchain_check
sample_toolchain_check[eventmask] = "bb.event.BuildStarted"
python sample_toolchain_check() {
    import shutil

    program = e.data.getVar("CC").split()[0]
    if shutil.which(program, path=e.data.getVar("PATH")) is None:
        bb.fatal(
            "%s: not found; install gcc-aarch64-linux-gnu, or oejail with its cross compiler: "
            "pipx install 'oejail[sample,cross]'" % program
        )
}
