#!/bin/sh
# SPDX-License-Identifier: MIT
# Starts what is current on a board and looks whether it runs, for `oejail deploy --start`. POSIX sh
# and BusyBox. Lines begin with `oejail:` and a name (deploy_start.py); the last is `oejail:end`.
# Its argument is how many seconds the cells are left alone before they are looked at.
set -u

here=/opt/oejail/current
export OEJAIL_STEPS=1

say() {
    printf 'oejail:%s\n' "$*"
}

# Each line of standard input, at once: what comes after it may be the last that this board does.
lines() {
    while IFS= read -r line; do
        say "$1 $line"
    done
}

before=$(dmesg 2>/dev/null | wc -l)
{
    "$here/oejail-start" </dev/null 2>&1
    printf 'oejail-start: status %s\n' "$?"
} | lines out
sleep "$1"
"$here/bin/jailhouse" cell list </dev/null 2>&1 | head -n 200 | lines list
"$here/bin/jailhouse" console </dev/null 2>/dev/null | head -n 2000 | lines console
# The kernel's log is a ring: when it has turned round, all of it is shown.
after=$(dmesg 2>/dev/null | wc -l)
[ "$after" -ge "$before" ] || before=0
dmesg 2>/dev/null | tail -n +$((before + 1)) | tail -n 1000 | lines log
say end
