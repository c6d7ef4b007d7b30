#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the payload of an extracted oejail bundle: run it from where the bundle was unpacked.
#
#   install.sh [--root DIR]             install, or upgrade to, this bundle
#   install.sh --rollback [--root DIR]  go back to what was current before
#
# A version is a directory /opt/oejail/DIGEST (the first 16 hex digits of manifest.json's SHA-256),
# complete before it gets that name; /opt/oejail/current is a link to the one that counts, and
# changes by one rename. So at any point the old or the new version is whole. The version before is
# kept, for --rollback; older ones are removed.
# Exit status: 0 done, 1 failed (nothing lost), 2 usage.
set -u

fail() {
    printf 'install.sh: error: %s\n' "$*" >&2
    exit 1
}

usage() {
    printf 'usage: install.sh [--rollback] [--root DIR]\n' >&2
    exit 2
}

root=
rollback=
while [ $# -gt 0 ]; do
    case $1 in
    --rollback) rollback=yes ;;
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

# What the link names; nothing when there is none.
version() {
    readlink "$1" 2>/dev/null || true
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

# Removes a version; under another name first, so that a version's name always means a whole one.
remove() {
    mv "$1" "$base/.trash-$$" && rm -rf "$base/.trash-$$"
}

# True when the directory holds what SHA256SUMS says of payload/.
whole() {
    [ -d "$1" ] &&
        sed -n 's|^\([0-9a-f]*  \)payload/|\1|p' SHA256SUMS |
        (cd "$1" && sha256sum -c - >/dev/null 2>&1)
}

trap 'rm -rf "$base"/.[nlt]*-$$ 2>/dev/null' EXIT
trap 'exit 1' HUP INT TERM

was=$(version "$current")
if [ -n "$rollback" ]; then
    [ -n "$was" ] || fail "$current: nothing is installed"
    digest=$(before "$was")
    [ -n "$digest" ] || fail "$base/$was: there was no version before it"
    [ -d "$base/$digest" ] || fail "$base/$digest: the version before is gone"
    remember "$digest" "$was" # so that a second --rollback comes back
    switch_to "$digest"
    printf 'current: %s (was %s)\n' "$digest" "$was"
    exit 0
fi

cd "$(dirname "$0")" || fail "$0: its directory cannot be entered"
for file in manifest.json SHA256SUMS payload/oejail.set; do
    [ -f "$file" ] || fail "$PWD/$file: missing; unpack the whole bundle"
done
sums=$(sha256sum -c SHA256SUMS 2>&1) || {
    printf '%s\n' "$sums" | grep -v ': OK$' >&2
    fail "$PWD: files differ from SHA256SUMS; unpack the bundle again"
}
listed=$(grep -c '  payload/' SHA256SUMS)
there=$(find payload -type f | wc -l)
[ "$listed" -eq "$there" ] ||
    fail "$PWD/payload: $there files, $listed in SHA256SUMS; unpack the bundle again"
digest=$(sha256sum manifest.json) || fail "$PWD/manifest.json: cannot be read"
digest=$(printf %.16s "$digest")

mkdir -p "$base" || fail "$base: cannot be made"
# What killed runs left, known by the number of a process that is gone.
for left in "$base"/.[nlt]*-*; do
    if [ -e "$left" ] || [ -L "$left" ]; then
        kill -0 "${left##*-}" 2>/dev/null || rm -rf "$left"
    fi
done

previous=$was
[ "$was" != "$digest" ] || previous=$(before "$digest")
if whole "$base/$digest"; then
    [ "$was" = "$digest" ] || remember "$digest" "$previous"
else
    new=$base/.new-$$
    mkdir "$new" || fail "$new: cannot be made"
    cp -R payload/. "$new/" || fail "$new: copying failed; is there space on the device?"
    chmod -R u=rwX,go=rX "$new" || fail "$new: modes cannot be set"
    chmod 0755 "$new/bin/jailhouse" "$new/oejail-start" || fail "$new: modes cannot be set"
    sync
    whole "$new" || fail "$new: the copy differs; is the device full or damaged?"
    printf '%s\n' "$previous" >"$new/.previous" || fail "$new: cannot be written"
    sync
    [ ! -d "$base/$digest" ] || remove "$base/$digest" # damaged
    mv -T "$new" "$base/$digest" || fail "$base/$digest: cannot be made"
fi
[ "$was" = "$digest" ] || switch_to "$digest"

for directory in "$base"/*; do
    case ${directory##*/} in
    "$digest" | "$previous" | current) ;;
    *) remove "$directory" ;;
    esac
done
printf 'current: %s (was %s)\n' "$digest" "${was:-nothing}"
