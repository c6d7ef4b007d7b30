#!/bin/sh
# SPDX-License-Identifier: MIT
# Starts what is current on a board and looks whether it runs, for `oejail deploy --start`. POSIX sh
# and BusyBox. Lines begin with `oejail:` and a name (deploy_start.py); the last is `oejail:end`.
# Its argument is how many seconds the cells are left alone before they are looked at; or `log` and
# a number: what the kernel has said after so many lines, for a start that never came to an end.
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

# The kernel's log is a ring: when it has turned round, all of it is shown.
log() {
    after=$(dmesg 2>/dev/null | wc -l)
    [ "$after" -ge "$1" ] || set -- 0
    dmesg 2>/dev/null | tail -n +$(($1 + 1)) | tail -n 1000 | lines log
}

if [ "$1" = log ]; then
    log "$2"
    exit
fi
before=$(dmesg 2>/dev/null | wc -l)
say "before $before"
dmesg 2>/dev/null | grep 'CPU(s) started at EL' | head -n 1 | lines boot
exec 4>&1
status=$({
    {
        "$here/oejail-start" </dev/null 2>&1
        status=$?
        printf 'oejail-start: status %s\n' "$status"
        echo "$status" >&3
    } | lines out >&4
} 3>&1)
[ "$status" != 0 ] || sleep "$1"
"$here/bin/jailhouse" cell list </dev/null 2>&1 | head -n 200 | lines list
"$here/bin/jailhouse" console </dev/null 2>/dev/null | head -n 2000 | lines console
log "$before"
say end
