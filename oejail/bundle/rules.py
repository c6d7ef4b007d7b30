# SPDX-License-Identifier: MIT
"""What `verify` finds in the archive itself. Ids once published keep their meaning."""

from __future__ import annotations

from oejail.checks.finding import ERROR, INFORMATION, Finding
from oejail.checks.table import Rule

_AGAIN = "Get the bundle again from where it was made, or pack it anew with oejail bundle."
_PACK = "Only oejail packs bundles; pack it with oejail bundle."
_REFUSED = "Nothing: the bundle is refused before any of it gets there."


def _row(id: str, title: str, means: str, mend: str, severity: str = ERROR) -> tuple[str, Rule]:
    # These look at an archive, not at a set: there is nothing for `check_set` to run.
    return id, Rule(id, severity, lambda _: iter(()), title, means, _REFUSED, mend)


RULES: dict[str, Rule] = dict(
    [
        _row(
            "bundle-archive",
            "archive cannot be read",
            "The file is no zstd-compressed tar archive as oejail writes it, or is damaged or cut.",
            _AGAIN,
        ),
        _row(
            "bundle-sha256",
            "archive differs from its .sha256",
            "The archive's SHA-256 is not the one in the .sha256 file beside it.",
            _AGAIN,
        ),
        _row(
            "bundle-no-sha256",
            "no .sha256 beside the archive",
            "There is no .sha256 file beside the archive, so its own digest was not compared. "
            "Every member is still compared with SHA256SUMS and manifest.json.",
            "Copy the .sha256 file together with the bundle.",
            INFORMATION,
        ),
        _row(
            "bundle-limit",
            "too many or too large members",
            "The archive has more or larger members than any bundle may have.",
            _PACK,
        ),
        _row(
            "bundle-type",
            "member is no regular file",
            "A link or a device could reach outside the directory that a bundle is unpacked to.",
            _PACK,
        ),
        _row(
            "bundle-path",
            "member's name leaves its directory",
            "A member's name is absolute, has a .. in it, or characters that no bundle's file has.",
            _PACK,
        ),
        _row(
            "bundle-header",
            "member's header is not oejail's",
            "A member's header (time, owner, padding) is not the one that oejail writes for that "
            "name, size and mode: something else packed the archive.",
            _PACK,
        ),
        _row(
            "bundle-duplicate",
            "name stands twice",
            "A name stands in the archive twice; tools differ in which one they take.",
            _PACK,
        ),
        _row(
            "bundle-order",
            "members are not in order",
            "The members' order is fixed: manifest.json, SHA256SUMS, then by name.",
            _PACK,
        ),
        _row(
            "bundle-trailing",
            "data after the last member",
            "There is data after the last member, where no list covers it.",
            _AGAIN,
        ),
        _row(
            "bundle-manifest",
            "manifest.json is missing or wrong",
            "manifest.json is missing, no JSON, or not as its schema says.",
            _AGAIN,
        ),
        _row(
            "bundle-sums",
            "SHA256SUMS is missing or wrong",
            "SHA256SUMS does not list exactly the other members in their order.",
            _AGAIN,
        ),
        _row(
            "bundle-missing",
            "listed file is missing",
            "SHA256SUMS or manifest.json lists a file that is not in the archive.",
            _AGAIN,
        ),
        _row(
            "bundle-extra",
            "file is not listed",
            "A file in the archive is not in SHA256SUMS or not in manifest.json.",
            _AGAIN,
        ),
        _row(
            "bundle-digest",
            "member's bytes differ",
            "A member's SHA-256 is not the one that SHA256SUMS or manifest.json lists for it.",
            _AGAIN,
        ),
        _row(
            "bundle-size",
            "member's size differs",
            "A member's size is not the one that manifest.json lists for it.",
            _AGAIN,
        ),
        _row(
            "bundle-mode",
            "member's mode differs",
            "A member's mode is not the one that manifest.json lists for it.",
            _AGAIN,
        ),
        _row(
            "bundle-set",
            "oejail.set is not the manifest's set",
            "payload/oejail.set, which the target starts, is not the set that manifest.json "
            "describes, or names files that are not there.",
            _AGAIN,
        ),
        _row(
            "bundle-signature-missing",
            "no signature beside the bundle",
            "A signature is wanted, and there is no .sig file beside the bundle.",
            "Copy the .sig file together with the bundle, or sign it: oejail bundle --sign KEY.",
        ),
        _row(
            "bundle-signature",
            "signature is broken",
            "The .sig file beside the bundle is no OpenSSH signature, or one over other files than "
            "the bundle's SHA256SUMS lists.",
            "Get bundle and .sig again from where they were made; trust neither until then.",
        ),
        _row(
            "bundle-signature-signer",
            "signer is not allowed",
            "The signature is right, but made with a key that the file of allowed signers does not "
            "have, or not for bundles.",
            "Have it signed by somebody in that file, or, when you trust that key, add it there.",
        ),
        _row(
            "bundle-signature-namespace",
            "signature is for another purpose",
            "The signature was made for something else than bundles (another namespace), so it "
            "says nothing about this one.",
            "Sign it with oejail bundle --sign KEY, which uses the namespace oejail-bundle.",
        ),
        _row(
            "bundle-signature-expired",
            "signer's key is not valid now",
            "The file of allowed signers has the key, with a valid-after or valid-before that does "
            "not include this moment.",
            "Look at this machine's clock; have the bundle signed with a key that is valid.",
        ),
        _row(
            "bundle-sample",
            "sample file in a bundle that is no sample",
            "A file carries the sample tree's mark, but manifest.json does not call the bundle a "
            "sample.",
            "Pack a build of the real sources, or take the bundle for the sample that it is.",
        ),
    ]
)
"""By id."""


def finding(rule: str, where: str, message: str) -> Finding:
    """A finding of one of these rules."""
    return Finding(rule, RULES[rule].severity, message, where)
