/* SPDX-License-Identifier: MIT */
/*
 * A file with the header of jailhouse.bin and no hypervisor behind it. The fields are those that
 * the driver checks before it enters one: a signature, the sizes that must fit into the root
 * cell's hypervisor memory, the offsets of the entry and of the console page. Bytes 0x30 to 0x4b
 * are filled in by the driver.
 */
    .section .header, "a"
    .ascii "JAILHOUS"
    .quad __core_size
    .quad __percpu_size
    .quad __entry
    .quad __console_page
    .fill 0x50 - 0x28, 1, 0

    .section .rodata, "a"
    .asciz "OEJAIL SAMPLE, NOT JAILHOUSE"
    .asciz VERSION

    /* Whoever enters this is told that there is no such function: -ENOSYS. */
    .section .text, "ax"
    .globl entry
entry:
    mov x0, #-38
    ret

    .section .bss, "aw", %nobits
    .balign 4096
    .globl console_page
console_page:
    .skip 4096
