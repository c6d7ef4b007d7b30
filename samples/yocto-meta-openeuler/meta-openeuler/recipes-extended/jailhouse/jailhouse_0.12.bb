# SPDX-License-Identifier: MIT
SUMMARY = "Stand-ins for the Jailhouse hypervisor's files, in the places of the real ones"
DESCRIPTION = "Nothing of this is Jailhouse and nothing of it starts a hypervisor: the firmware has \
a proper header, the module a proper .modinfo, the configurations are genuine, so that everything \
which handles such files can be tried without the openEuler sources. Each says what it is."
LICENSE = "MIT"

COMPATIBLE_MACHINE = "qemu-aarch64|raspberrypi4-64"
PACKAGE_ARCH = "${MACHINE_ARCH}"

SRC_URI = "file://firmware.S \
           file://firmware.lds \
           file://module.c \
           file://tool.c \
           file://cells/${MACHINE} \
           file://inmates/${MACHINE} \
           "
S = "${WORKDIR}/jailhouse-sample"
JAILHOUSE_VERSION = "v${PV} (oejail-sample)"

# openEuler installs the pedestal that MCS_FEATURES names; another one has no use for this recipe.
python () {
    if "jailhouse" not in (d.getVar("MCS_FEATURES") or "").split():
        raise bb.parse.SkipRecipe("MCS_FEATURES does not contain jailhouse; use -f mcs/jailhouse")
}

BARE_CFLAGS = "-ffreestanding -fno-builtin -fno-pic -fno-stack-protector -fno-unwind-tables \
    -fno-asynchronous-unwind-tables -mgeneral-regs-only -mstrict-align -Wall -Wextra"

do_compile() {
    bare="${CFLAGS} ${BARE_CFLAGS}"

    ${CC} $bare '-DVERSION="${JAILHOUSE_VERSION}"' -c ../firmware.S -o firmware.o
    ${LD} --build-id=none -T ../firmware.lds -o firmware.elf firmware.o
    ${OBJCOPY} -O binary firmware.elf jailhouse.bin

    ${CC} $bare '-DVERSION="${JAILHOUSE_VERSION}"' '-DKERNEL_VERSION="${KERNEL_VERSION}"' \
        -c ../module.c -o module.o
    ${LD} -r -o jailhouse.ko module.o

    ${CC} $bare '-DVERSION="${JAILHOUSE_VERSION}"' -c ../tool.c -o tool.o
    ${LD} -static -z max-page-size=4096 --build-id=none --strip-debug -o jailhouse tool.o

    for inmate in ../inmates/${MACHINE}/*/; do
        name=$(basename "$inmate")
        ${CC} $bare -c "$inmate/start.S" -o "$name-start.o"
        ${CC} $bare -c "$inmate/inmate.c" -o "$name-inmate.o"
        ${LD} --build-id=none -T "$inmate/inmate.lds" -o "$name.elf" "$name-start.o" "$name-inmate.o"
        ${OBJCOPY} -O binary "$name.elf" "$name.bin"
    done
}

do_install() {
    install -D -m 0644 jailhouse.bin ${D}${nonarch_base_libdir}/firmware/jailhouse.bin
    install -D -m 0644 jailhouse.ko \
        ${D}${nonarch_base_libdir}/modules/${KERNEL_VERSION}/extra/driver/jailhouse.ko
    install -D -m 0755 jailhouse ${D}${sbindir}/jailhouse
    install -d ${D}${datadir}/jailhouse/cells ${D}${datadir}/jailhouse/inmates
    install -m 0644 ../cells/${MACHINE}/${CELLS}.cell ${D}${datadir}/jailhouse/cells/
    for inmate in ../inmates/${MACHINE}/*/; do
        install -m 0644 "$(basename "$inmate").bin" ${D}${datadir}/jailhouse/inmates/
    done
}

PACKAGES = "kernel-module-jailhouse-${KERNEL_VERSION} ${PN}"
FILES:kernel-module-jailhouse-${KERNEL_VERSION} = "${nonarch_base_libdir}/modules"
FILES:${PN} = "${nonarch_base_libdir}/firmware ${sbindir} ${datadir}/jailhouse"
