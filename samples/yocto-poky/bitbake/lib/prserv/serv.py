# SPDX-License-Identifier: GPL-2.0-only
"""What `bb.cooker` asks of the PR service where PRSERV_HOST is not set: nothing."""


class PRServiceConfigError(Exception):
    """PRSERV_HOST is set, and there is no service."""


def auto_start(d):
    """None: no service runs."""
    if d.getVar("PRSERV_HOST"):
        import bb

        words = "PRSERV_HOST: the sample tree has no PR service; unset it"
        print(f"ERROR: {words}")  # in the server's log: the front end may have gone before it reads
        bb.error(words)
        raise PRServiceConfigError
    return None


def auto_shutdown():
    """Nothing was started."""
