# SPDX-License-Identifier: MIT
# What `oejail shell` reads in place of ~/.bashrc (engine/interactive.py sets the variables).
if . "$OEJAIL_INIT" "$OEJAIL_BUILD_DIR"; then
    PS1='oejail:\W\$ '
else
    echo "oejail shell: $OEJAIL_INIT failed" >&2
    exit 97
fi
unset OEJAIL_INIT OEJAIL_BUILD_DIR
