#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the payload of an extracted oejail bundle: run it from where the bundle was unpacked.
#
#   install.sh [--root DIR]             install, or upgrade to, this bundle
#   install.sh --rollback [--root DIR]  go back to what was current before
#   install.sh --keep [--root DIR]      leave what is installed (with --enable or --disable)
#
# With --enable what is current is started at boot, by one link to its init script (under systemd
# the two that `systemctl enable` makes for its unit); with --disable no more. `oejail deploy` runs
# this script with --receive DIGEST: the files come as a tar archive on standard input, SHA256SUMS,
# MD5SUMS and payload/.
#
# A version is a directory /opt/oejail/DIGEST (the first 16 hex digits of manifest.json's SHA-256),
# complete before it gets that name; /opt/oejail/current is a link to the one that counts, and
# changes by one rename. So at any point the old or the new version is whole. The version before is
# kept, for --rollback; older ones are removed.
# Exit status: 0 done, 1 failed (nothing lost), 2 usage, 3 another one is at work.
set -u

fail() {
    printf 'install.sh: error: %s\n' "$*" >&2
    exit 1
}

usage() {
    printf 'usage: install.sh [--rollback|--keep] [--enable|--disable] [--root DIR]\n' >&2
    exit 2
}

root=
mode=install
boot=
while [ $# -gt 0 ]; do
    case $1 in
    --rollback | --keep)
        [ "$mode" = install ] || usage
        mode=${1#--}
        ;;
    --receive)
        [ $# -ge 2 ] && [ "$mode" = install ] || usage
        mode=receive
        digest=$2
        case $digest in
        '' | *[!0-9a-f]*) usage ;;
        esac
        shift
        ;;
    --enable | --disable)
        [ -z "$boot" ] || usage
        boot=${1#--}
        ;;
    --root)
        [ $# -ge 2 ] || usage
        root=$(cd "$2" 2>/dev/null && pwd) || fail "$2: no such directory"
        root=${root%/}
        shift
        ;;
    *) usage ;;
    esac
    shift
done

base=$root/opt/oejail
current=$base/current
lock=$base/.busy

# What the link names; nothing when there is none.
version() {
    readlink "$1" 2>/dev/null || true
}

# When a process began (field 22 of /proc/PID/stat; its name, in brackets, may have blanks).
began() {
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    printf %s "${20:-}"
}

# Who a process is, for as long as the machine runs and after that.
identity() {
    printf '%s:%s:%s' "$1" "$(began "$1")" "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
}

# One at a time. The lock is a link, which is made in one step and says whose it is; one whose
# process is gone is taken over.
take_lock() {
    me=$(identity $$)
    if ! ln -sn "$me" "$lock" 2>/dev/null; then
        holder=$(version "$lock")
        [ -n "$holder" ] || fail "$lock: cannot be made; is the file system full or read-only?"
        pid=${holder%%:*}
        if ! kill -0 "$pid" 2>/dev/null || [ "$holder" != "$(identity "$pid")" ]; then
            mv -f -T "$lock" "$base/.trash-$$" 2>/dev/null &&
                [ "$(version "$base/.trash-$$")" = "$holder" ] &&
                ln -sn "$me" "$lock" 2>/dev/null
        fi
        [ "$(version "$lock")" = "$me" ] || {
            printf 'install.sh: error: %s: process %s is installing\n' "$base" "$pid" >&2
            exit 3
        }
    fi
    # What killed ones left: nobody else is at work.
    rm -rf "$base"/.[nlt]*-*
}

leave() {
    rm -rf "$base"/.[nlt]*-$$ 2>/dev/null
    [ "$(version "$lock")" != "${me:-none}" ] || rm -f "$lock"
}

# The version that was current before the named one became it; nothing when there is none.
before() {
    cat "$base/$1/.previous" 2>/dev/null || true
}

# remember DIGEST BEFORE
remember() {
    note=$base/.note-$$
    printf '%s\n' "$2" >"$note" || fail "$note: cannot be written"
    mv -f "$note" "$base/$1/.previous" || fail "$base/$1: cannot be written"
}

# Makes the named version the current one: a new link beside, renamed over the old one.
switch_to() {
    link=$base/.link-$$
    ln -s "$1" "$link" || fail "$link: cannot be made"
    # -T: `current` points to a directory, and the link itself is to be replaced.
    mv -f -T "$link" "$current" ||
        fail "$current: cannot be changed, it is still ${was:-missing}"
    sync
}

# Links that start what is current at boot, each with what it points to: for this system, or all.
# openEuler's BusyBox init runs /etc/rc5.d, others /etc/init.d/S*.
boot_links() {
    wants=etc/systemd/system/multi-user.target.wants
    if [ "$1" = all ] || [ -d "$root/run/systemd/system" ]; then
        printf '%s service\n' etc/systemd/system/oejail.service $wants/oejail.service
        [ "$1" = all ] || return 0
    fi
    for place in etc/rc5.d etc/init.d; do
        if [ -d "$root/$place" ]; then
            printf '%s init\n' $place/S90oejail
            [ "$1" = all ] || return 0
        fi
    done
}

enable() {
    links=$(boot_links here)
    [ -n "$links" ] || fail "$root/etc: neither systemd, rc5.d nor init.d: nothing starts at boot"
    printf '%s\n' "$links" | while read -r path kind; do
        target=/opt/oejail/current/oejail.$kind
        [ -f "$current/oejail.$kind" ] ||
            fail "$current/oejail.$kind: missing; the bundle is of an older oejail"
        if [ "$(version "$root/$path")" != "$target" ]; then
            if [ -e "$root/$path" ] || [ -L "$root/$path" ]; then
                fail "$root/$path: is in the way, and not ours"
            fi
            mkdir -p "$root/${path%/*}" || fail "$root/${path%/*}: cannot be made"
            ln -s "$target" "$root/$path" || fail "$root/$path: cannot be made"
        fi
        printf 'enabled: /%s\n' "$path"
    done || exit 1
    sync
}

disable() {
    boot_links all | while read -r path kind; do
        if [ "$(version "$root/$path")" = "/opt/oejail/current/oejail.$kind" ]; then
            rm -f "$root/$path" || fail "$root/$path: cannot be removed"
            printf 'disabled: /%s\n' "$path"
        fi
    done || exit 1
    sync
}

# A running systemd reads a unit again only when it is told to.
reload() {
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        [ -z "$boot" ] && [ ! -L /etc/systemd/system/oejail.service ] || systemctl daemon-reload || :
    fi
}

# Removes a version; under another name first, so that a version's name always means a whole one.
remove() {
    mv "$1" "$base/.trash-$$" && rm -rf "$base/.trash-$$"
}

# True when the directory holds what the list says of payload/.
whole() {
    [ -d "$1" ] &&
        sed -n 's|^\([0-9a-f]*  \)payload/|\1|p' "$list" |
        (cd "$1" && "$sum" -c - >/dev/null 2>&1)
}

trap leave EXIT
trap 'exit 1' HUP INT TERM PIPE

if [ "$mode" = rollback ] || [ "$mode" = keep ]; then
    [ -L "$current" ] || fail "$current: nothing is installed"
    take_lock
    was=$(version "$current")
    digest=$was
    if [ "$mode" = rollback ]; then
        digest=$(before "$was")
        [ -n "$digest" ] || fail "$base/$was: there was no version before it"
        [ -d "$base/$digest" ] || fail "$base/$digest: the version before is gone"
        remember "$digest" "$was" # so that a second --rollback comes back
        switch_to "$digest"
    fi
    printf 'current: %s (was %s)\n' "$digest" "$was"
    [ -z "$boot" ] || "$boot"
    reload
    exit 0
fi

new=$base/.new-$$
if [ "$mode" = receive ]; then
    mkdir -p "$base" || fail "$base: cannot be made"
    take_lock
    mkdir "$new" || fail "$new: cannot be made"
    tar -x -f - -C "$new" ||
        fail "$new: receiving failed; is there space on the device, was the connection lost?"
    cd "$new" || fail "$new: cannot be entered"
else
    cd "$(dirname "$0")" || fail "$0: its directory cannot be entered"
fi
for file in SHA256SUMS payload/oejail.set; do
    [ -f "$file" ] || fail "$PWD/$file: missing; unpack the whole bundle"
done
# openEuler's BusyBox has no sha256sum; what oejail sends has a list for md5sum too.
sum=sha256sum
list=$PWD/SHA256SUMS
if ! command -v sha256sum >/dev/null; then
    sum=md5sum
    list=$PWD/MD5SUMS
    [ -f "$list" ] || fail "no sha256sum on this system; oejail deploy does without it"
fi
listed=$(grep -c '  payload/' "$list")
there=$(find payload -type f | wc -l)
[ "$listed" -eq "$there" ] ||
    fail "$PWD/payload: $there files, $listed in ${list##*/}; unpack the bundle again"
if [ "$mode" = install ]; then
    [ -f manifest.json ] || fail "$PWD/manifest.json: missing; unpack the whole bundle"
    sums=$(sha256sum -c SHA256SUMS 2>&1) || {
        printf '%s\n' "$sums" | grep -v ': OK$' >&2
        fail "$PWD: files differ from SHA256SUMS; unpack the bundle again"
    }
    digest=$(sha256sum manifest.json) || fail "$PWD/manifest.json: cannot be read"
    digest=$(printf %.16s "$digest")
    mkdir -p "$base" || fail "$base: cannot be made"
    take_lock
    mkdir "$new" || fail "$new: cannot be made"
fi

was=$(version "$current")
previous=$was
[ "$was" != "$digest" ] || previous=$(before "$digest")
if whole "$base/$digest"; then
    [ "$was" = "$digest" ] || remember "$digest" "$previous"
else
    if [ "$mode" = install ]; then
        cp -R payload "$new/" || fail "$new: copying failed; is there space on the device?"
    fi
    ready=$new/payload
    chmod -R u=rwX,go=rX "$ready" || fail "$new: modes cannot be set"
    for file in bin/jailhouse oejail-start oejail.init; do
        [ ! -f "$ready/$file" ] || chmod 0755 "$ready/$file" || fail "$new: modes cannot be set"
    done
    sync
    whole "$ready" || fail "$new: the copy differs; is the device full or damaged?"
    printf '%s\n' "$previous" >"$ready/.previous" || fail "$new: cannot be written"
    sync
    [ ! -d "$base/$digest" ] || remove "$base/$digest" # damaged
    mv -T "$ready" "$base/$digest" || fail "$base/$digest: cannot be made"
fi
cd / || fail "/: cannot be entered"
[ "$was" = "$digest" ] || switch_to "$digest"

for directory in "$base"/*; do
    case ${directory##*/} in
    "$digest" | "$previous" | current) ;;
    *) remove "$directory" ;;
    esac
done
printf 'current: %s (was %s)\n' "$digest" "${was:-nothing}"
[ -z "$boot" ] || "$boot"
reload
