# SPDX-License-Identifier: GPL-2.0-only
"""An inert stand-in: the wheel of BitBake's library lacks the hash equivalence server.

`bb.siggen` and `bb.cooker` import it always and use it only where BB_HASHSERVE is set, which the
sample tree never does.
"""


def is_valid_unihash(unihash):
    """True: no hash comes from a server here."""
    return isinstance(unihash, str)


def _absent(*_arguments, **_options):
    import bb

    words = "BB_HASHSERVE: the sample tree has no hash equivalence server; unset it"
    print(f"ERROR: {words}")  # in the server's log: the front end may have gone before it reads
    bb.fatal(words)


create_client = create_async_client = create_server = _absent
