# SPDX-License-Identifier: MIT
# Read by the bash that runs oebuild's build.sh (BASH_ENV, see engine/build.py): errors go where the
# rest goes, in their place among the other lines. Not meant for the shells below it.
unset BASH_ENV
exec 2>&1
