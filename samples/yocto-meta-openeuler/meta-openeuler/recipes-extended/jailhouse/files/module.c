/* SPDX-License-Identifier: MIT */
/*
 * A relocatable object with the sections of a kernel module. It names a kernel release that no
 * kernel has, so that none loads it; if one did, its only function refuses.
 */
#define MODINFO(name, value)                                                                       \
    static const char modinfo_##name[] __attribute__((section(".modinfo"), used, aligned(1))) =    \
        #name "=" value

MODINFO(license, "GPL");
MODINFO(version, VERSION);
MODINFO(firmware, "jailhouse.bin");
MODINFO(description, "OEJAIL SAMPLE, NOT JAILHOUSE");
MODINFO(depends, "");
MODINFO(name, "jailhouse");
MODINFO(vermagic, KERNEL_VERSION " SMP mod_unload aarch64");

/* The signatures that a driver of configuration revision 13 compares. */
const char jailhouse_signatures[] = "JHSYST\0JHCELL\0JAILHOUS";

int init_module(void);
void cleanup_module(void);

int init_module(void)
{
    return -38; /* ENOSYS */
}

void cleanup_module(void)
{
}

/* struct module begins with state and list; the name follows. Its real size is the kernel's. */
struct {
    unsigned long head[3];
    char name[56];
    unsigned char rest[0x380];
} __this_module __attribute__((section(".gnu.linkonce.this_module"), used, aligned(64))) = {
    .name = "jailhouse",
};
