/* SPDX-License-Identifier: MIT */
/* In the place of the tool `jailhouse`: a static Linux program that says what it is. */

#define SYS_WRITE 64
#define SYS_EXIT 93

static const char about[] =
    "jailhouse: OEJAIL SAMPLE, NOT JAILHOUSE: " VERSION "\n"
    "This program stands where Jailhouse's tool would be and can do nothing of what that does.\n";

static long system_call(long number, long first, long second, long third)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = first;
    register long x1 __asm__("x1") = second;
    register long x2 __asm__("x2") = third;

    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}

static int asks_what_it_is(const char *word)
{
    const char *known = "--version";

    while (*known && *word == *known) {
        word++;
        known++;
    }
    return *known == *word;
}

__attribute__((used)) void tool_main(const long *stack)
{
    long count = stack[0];
    const char *const *arguments = (const char *const *)(stack + 1);
    int asked = count == 2 && asks_what_it_is(arguments[1]);
    const char *text = about;
    long left = sizeof about - 1;

    while (left > 0) {
        long written = system_call(SYS_WRITE, asked ? 1 : 2, (long)text, left);

        if (written <= 0)
            break;
        text += written;
        left -= written;
    }
    system_call(SYS_EXIT, asked ? 0 : 1, 0, 0);
    for (;;)
        ;
}

/* The kernel enters here with the argument count and vector on the stack. */
__asm__(".globl _start\n"
        "_start:\n"
        "    mov x29, xzr\n"
        "    mov x30, xzr\n"
        "    mov x0, sp\n"
        "    bl tool_main\n");
