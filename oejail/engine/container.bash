# SPDX-License-Identifier: MIT
# Read by each bash that oebuild starts in the container (BASH_ENV, see engine/container.py), which
# runs oebuild's .bashrc in /home/openeuler. What is said goes into a file of the build directory:
# oebuild would log it in pieces, fails at a character cut in two, and takes anything on stderr for
# a failure. Only while an oejail is at work: it touches the file `alive` all the time.
unset BASH_ENV
oejail_dir=$(dirname -- "${BASH_SOURCE[0]}")
if oejail_age=$(($(date +%s) - $(stat -c %Y -- "$oejail_dir/alive" 2>/dev/null || echo 0))) &&
    [ "$oejail_age" -lt 15 ] && : >>"$oejail_dir/output"; then
    exec >>"$oejail_dir/output" 2>&1
    bitbake() {
        # oebuild reads .bashrc by an exec whose output Podman may lose, and writes back what is left.
        [ -n "${TEMPLATECONF-}" ] || { echo "oejail: oebuild's lines are not in .bashrc"; return 127; }
        echo "oejail: bitbake starts"
        case ${1-} in
        --oejail-guard=*) # see build.bash
            oejail_seconds=${1#*=}
            shift
            python3 -I -S "$oejail_dir/guard.py" "@$oejail_dir/heartbeat" - "$oejail_seconds" \
                10 pipe - bitbake "$@"
            ;;
        *) command bitbake "$@" ;;
        esac
        oejail_status=$?
        # Without an event its configuration may be broken, of which it need not have said a word.
        if [ "$oejail_status" = 1 ] && [ ! -s oejail-events.jsonl ]; then
            echo "oejail: its configuration, parsed once more"
            python3 -- "$oejail_dir/configuration.py" "$(type -P bitbake)"
        fi
        echo "oejail: bitbake ended with status $oejail_status"
        return "$oejail_status"
    }
fi
