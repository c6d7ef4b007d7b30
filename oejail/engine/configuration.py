#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What is wrong with BitBake's configuration, said by its own library: `configuration.py BITBAKE`.

Started by build.bash and container.bash after a BitBake that failed before it wrote an event: never
imported by oejail. BitBake's server sends what it has to say of a configuration that does not
parse, and then that its command failed; the front end takes of the former what it happens to have
received when it reads the latter (`drain_events_errorhandling` in bb/ui/knotty.py, BitBake 1.50 to
2.19), so that on a busy machine it may end without a word. Here the same code parses the same files
in this process, and what it logs is printed as it comes. Ends with 1 when something was wrong.
"""

import os
import sys


def main(bitbake: str) -> int:
    """Parse the configuration of the current directory with the library of `bitbake`."""
    top = os.path.dirname(os.path.dirname(os.path.realpath(bitbake)))
    sys.path.insert(0, os.path.join(top, "lib"))
    import bb
    import bb.cookerdata
    import bb.msg
    import bb.utils

    bb.msg.init_msgconfig(False, 0, [])
    bb.msg.logger_create("BitBake", sys.stdout)
    configuration = bb.cookerdata.CookerConfiguration()
    configuration.env = dict(os.environ)
    bb.utils.clean_environment()
    try:
        bb.cookerdata.CookerDataBuilder(configuration, False).parseBaseConfiguration()
    except bb.BBHandledException:  # whoever raised it has said why
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
