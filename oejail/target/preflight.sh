#!/bin/sh
# SPDX-License-Identifier: MIT
# What a board is, for `oejail deploy`: run there over ssh, changes nothing. POSIX sh and BusyBox.
# Each line it prints begins with `oejail:` and a name (preflight.py); the last one is `oejail:end`,
# so that an answer that was cut off is known as such.
set -u

say() {
    printf 'oejail:%s\n' "$*"
}

# Each line of standard input, as `name line`; the files of /proc are short.
lines() {
    head -n "$2" | sed "s/^/oejail:$1 /"
}

say machine "$(uname -m)"
say release "$(uname -r)"
say uid "$(id -u)"
say cpus "$(cat /sys/devices/system/cpu/present 2>/dev/null)"
say cmdline "$(head -c 4096 /proc/cmdline 2>/dev/null)"
say board "$(tr '\0' ' ' 2>/dev/null </proc/device-tree/compatible | head -c 1000)"
say hypervisor "$(cat /sys/devices/jailhouse/enabled 2>/dev/null)"
[ ! -d /sys/module/jailhouse ] || say module loaded
lines iomem 2000 </proc/iomem 2>/dev/null
lines mount 500 </proc/mounts 2>/dev/null

for tool in cat chmod dd find grep head ln mkdir mv readlink rm sed sync tar wc; do
    command -v "$tool" >/dev/null || say lacks "$tool"
done
command -v sha256sum >/dev/null || command -v md5sum >/dev/null || say lacks sha256sum
# BusyBox's mv has it since 2021; without it no link to a directory can be replaced in one step.
case $(mv -T 2>&1) in
*"invalid option"* | *"unrecognized option"*) say lacks "mv -T" ;;
esac

base=/opt/oejail
place=$base
while [ ! -d "$place" ]; do
    place=${place%/*}
    place=${place:-/}
done
say place "$(cd -P "$place" && pwd -P)"
df -Pk "$place" 2>/dev/null | tail -n 1 | lines space 1
say current "$(readlink $base/current 2>/dev/null)"
for directory in "$base"/*; do
    if [ -d "$directory" ] && [ ! -L "$directory" ]; then
        say version "${directory##*/}" "$(head -n 1 "$directory/.previous" 2>/dev/null)"
    fi
done

if [ -d /run/systemd/system ]; then
    say init systemd
elif [ -d /etc/rc5.d ]; then
    say init rc5.d
elif [ -d /etc/init.d ]; then
    say init init.d
fi
for link in etc/systemd/system/oejail.service etc/systemd/system/multi-user.target.wants/oejail.service \
    etc/rc5.d/S90oejail etc/init.d/S90oejail; do
    if [ -L "/$link" ] || [ -e "/$link" ]; then
        say link "/$link" "$(readlink "/$link")"
    fi
done
say end
