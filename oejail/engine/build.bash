# SPDX-License-Identifier: MIT
# Read by the bash that runs oebuild's build.sh (BASH_ENV, see engine/build.py): errors go where the
# rest goes, in their place among the other lines, and a line says where BitBake's own words begin.
# A first argument --oejail-guard=SECONDS puts a guard around BitBake (_supervisor.py): it ends all
# of it when oejail is gone, within SECONDS of a first SIGINT.
oejail_guard=${OEJAIL_GUARD:-${BASH_SOURCE[0]%/*}/_supervisor.py}
oejail_dir=$(dirname -- "${BASH_SOURCE[0]}")
unset BASH_ENV OEJAIL_BASH_ENV OEJAIL_GUARD
exec 2>&1
bitbake() {
    echo "oejail: bitbake starts"
    case ${1-} in
    --oejail-guard=*) oejail_guarded "$@" ;;
    *) command bitbake "$@" ;;
    esac || oejail_failed "$?"
}
# Without an event its configuration may be broken, of which it need not have said a word.
oejail_failed() {
    if [ "$1" = 1 ] && [ ! -s oejail-events.jsonl ]; then
        echo "oejail: its configuration, parsed once more"
        python3 -- "$oejail_dir/configuration.py" "$(type -P bitbake)"
    fi
    return "$1"
}
oejail_guarded() {
    local seconds=${1#*=}
    shift
    python3 -I -S "$oejail_guard" "@$PWD/.oejail/heartbeat" - "$seconds" 10 pipe - bitbake "$@"
}
