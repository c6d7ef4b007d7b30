# SPDX-License-Identifier: MIT
# Read by the bash that runs oebuild's build.sh (BASH_ENV, see engine/build.py): errors go where the
# rest goes, in their place among the other lines, and a line says where BitBake's own words begin.
unset BASH_ENV OEJAIL_BASH_ENV
exec 2>&1
bitbake() {
    echo "oejail: bitbake starts"
    command bitbake "$@"
}
