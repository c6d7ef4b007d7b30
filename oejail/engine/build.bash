# SPDX-License-Identifier: MIT
# Read by the bash that runs oebuild's build.sh (BASH_ENV, see engine/build.py): errors go where the
# rest goes, in their place among the other lines, and a line says where BitBake's own words begin.
oejail_dir=$(dirname -- "${BASH_SOURCE[0]}")
unset BASH_ENV OEJAIL_BASH_ENV
exec 2>&1
bitbake() {
    echo "oejail: bitbake starts"
    command bitbake "$@" || oejail_failed "$?"
}
# Without an event its configuration may be broken, of which it need not have said a word.
oejail_failed() {
    if [ "$1" = 1 ] && [ ! -s oejail-events.jsonl ]; then
        echo "oejail: its configuration, parsed once more"
        python3 -- "$oejail_dir/configuration.py" "$(type -P bitbake)"
    fi
    return "$1"
}
