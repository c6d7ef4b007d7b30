# SPDX-License-Identifier: MIT
SUMMARY = "Starts Jailhouse and the RTOS that the image has, by one command: oejail-start"
DESCRIPTION = "What a bundle's payload is, made of links to what the recipes of Jailhouse and the \
RTOS install: ${libexecdir}/oejail with oejail-start and oejail.set."
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${WORKDIR}/oejail-start;beginline=2;endline=2;md5=b2dccaa94b3629a08bfb4f983cad6f89"

# oejail writes it there from its own package, and OEJAIL_SET into local.conf:
# ROOT-CELL [INMATE-CELL IMAGE ADDRESS|-]..., cells by file stem.
SRC_URI = "file://oejail-start"
OEJAIL_SET ?= ""
OEJAIL_RECIPES ?= "jailhouse jailhouse-freertos"

python () {
    if not os.path.exists(os.path.join(os.path.dirname(d.getVar("FILE")), "oejail-rtos", "oejail-start")):
        raise bb.parse.SkipRecipe("oejail-start is missing: oejail layers or oejail up puts it there")
}

PV = "1"
S = "${WORKDIR}/oejail-rtos"
PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"
libexecdir ?= "/usr/libexec"

do_configure[noexec] = "1"
do_compile[noexec] = "1"
do_install[depends] += "${@' '.join(r + ':do_oejail_deploy' for r in d.getVar('OEJAIL_RECIPES').split())}"
# They come from what other recipes deployed, in whose task hashes they are.
do_install[vardeps] += "OEJAIL_SET OEJAIL_RECIPES"
python do_install() {
    oejail_install(d)
}

def oejail_deployed(d):
    """Where on the target the deployed files are, and where here: {name: (origin, path)}."""
    import json

    found = {}
    for recipe in d.getVar("OEJAIL_RECIPES").split():
        top = os.path.join(d.getVar("DEPLOY_DIR_IMAGE"), "oejail", recipe)
        with open(os.path.join(top, "oejail-index.json")) as stream:
            index = json.load(stream)
        for file in index["files"]:
            name = os.path.basename(file["path"])
            key = "inmates/" + name if "/inmates/" in file["origin"] else name
            found.setdefault(key, (file["origin"], os.path.join(top, file["path"])))
    return found

def oejail_cell(path):
    """Name and load address of a non-root cell: the same place in every layout that there is.

    The address is the start of the LOADABLE region that holds the reset address, else of the first.
    """
    import struct

    with open(path, "rb") as stream:
        data = stream.read(1 << 20)
    if not data.startswith((b"JHCELL", b"JHCLL")):
        bb.fatal("%s: no cell configuration beside a root cell" % path)
    name = data[8:40].split(b"\0")[0].decode("ascii")
    cpus, count = struct.unpack_from("<II", data, 48)
    reset = struct.unpack_from("<Q", data, 84)[0]
    starts = []
    for number in range(count):
        _, start, size, flags = struct.unpack_from("<4Q", data, 132 + cpus + 32 * number)
        if flags & 0x40 and size:
            starts.append((not start <= reset < start + size, number, start))
    return name, min(starts)[2] if starts else 0

def oejail_install(d):
    import shutil

    found, words = oejail_deployed(d), d.getVar("OEJAIL_SET").split()
    top = d.getVar("D") + d.getVar("libexecdir") + "/oejail"
    if not words or len(words) % 3 != 1:
        bb.fatal("OEJAIL_SET = %r: no root cell, or an inmate that is no three words" % words)

    def link(key, path):
        if key not in found:
            bb.fatal("%s: not among what %s deployed" % (key, d.getVar("OEJAIL_RECIPES")))
        target = os.path.join(top, path)
        if not os.path.lexists(target):
            bb.utils.mkdirhier(os.path.dirname(target))
            os.symlink(found[key][0], target)
        return path

    bb.utils.mkdirhier(top)
    link("jailhouse.ko", "jailhouse.ko")
    link("jailhouse.bin", "jailhouse.bin")
    link("jailhouse", "bin/jailhouse")
    lines = ["root\t" + link(words[0] + ".cell", "cells/%s.cell" % words[0])]
    for stem, image, address in zip(words[1::3], words[2::3], words[3::3]):
        cell = link(stem + ".cell", "cells/%s.cell" % stem)
        key = image if image in found else "inmates/" + os.path.basename(image)
        name, start = oejail_cell(found[stem + ".cell"][1])
        if address == "-" and start:
            address = hex(start)
        lines.append("inmate\t%s\t%s\t%s\t%s" % (name, cell, link(key, key), address))
    with open(os.path.join(top, "oejail.set"), "w") as stream:
        stream.write("".join(line + "\n" for line in lines))
    shutil.copyfile(os.path.join(d.getVar("WORKDIR"), "oejail-start"), os.path.join(top, "oejail-start"))
    os.chmod(os.path.join(top, "oejail-start"), 0o755)
    program = d.getVar("D") + d.getVar("sbindir") + "/oejail-start"
    bb.utils.mkdirhier(os.path.dirname(program))
    os.symlink(d.getVar("libexecdir") + "/oejail/oejail-start", program)

# Jailhouse's module comes with it (module.bbclass).
RDEPENDS:${PN} = "${OEJAIL_RECIPES}"
FILES:${PN} = "${libexecdir}/oejail ${sbindir}/oejail-start"
