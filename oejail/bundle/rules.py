# SPDX-License-Identifier: MIT
"""What `verify` finds in the archive itself. Ids once published keep their meaning."""

from __future__ import annotations

from dataclasses import dataclass

from oejail.checks.finding import ERROR, INFORMATION, Finding


@dataclass(frozen=True, slots=True)
class BundleRule:
    """One row: `means` says what was found, `mend` what to do."""

    id: str
    means: str
    mend: str
    severity: str = ERROR


_AGAIN = "Get the bundle again from where it was made, or pack it anew with oejail bundle."
_PACK = "Only oejail packs bundles; pack it with oejail bundle."

RULES = {
    rule.id: rule
    for rule in (
        BundleRule(
            "BUNDLE-ARCHIVE",
            "The file is no zstd-compressed tar archive as oejail writes it, or is damaged or cut.",
            _AGAIN,
        ),
        BundleRule(
            "BUNDLE-SHA256",
            "The archive's SHA-256 is not the one in the .sha256 file beside it.",
            _AGAIN,
        ),
        BundleRule(
            "BUNDLE-NO-SHA256",
            "There is no .sha256 file beside the archive, so its own digest was not compared. "
            "Every member is still compared with SHA256SUMS and manifest.json.",
            "Copy the .sha256 file together with the bundle.",
            INFORMATION,
        ),
        BundleRule(
            "BUNDLE-LIMIT",
            "The archive has more or larger members than any bundle may have.",
            _PACK,
        ),
        BundleRule(
            "BUNDLE-TYPE",
            "A member is no regular file: a link or a device could reach outside the directory "
            "that the bundle is unpacked to.",
            _PACK,
        ),
        BundleRule(
            "BUNDLE-PATH",
            "A member's name is absolute, leaves its directory, or has characters that no file of "
            "a bundle has.",
            _PACK,
        ),
        BundleRule(
            "BUNDLE-HEADER",
            "A member's header (time, owner, padding) is not the one that oejail writes for that "
            "name, size and mode: the archive was packed by something else.",
            _PACK,
        ),
        BundleRule("BUNDLE-DUPLICATE", "A name stands in the archive twice.", _PACK),
        BundleRule("BUNDLE-ORDER", "The members are not in a bundle's order.", _PACK),
        BundleRule("BUNDLE-TRAILING", "There is data after the last member.", _AGAIN),
        BundleRule(
            "BUNDLE-MANIFEST",
            "manifest.json is missing, no JSON, or not as its schema says.",
            _AGAIN,
        ),
        BundleRule(
            "BUNDLE-SUMS",
            "SHA256SUMS is missing, or does not list exactly the other members in their order.",
            _AGAIN,
        ),
        BundleRule("BUNDLE-MISSING", "A file that is listed is not in the archive.", _AGAIN),
        BundleRule("BUNDLE-EXTRA", "A file in the archive is not listed.", _AGAIN),
        BundleRule(
            "BUNDLE-DIGEST", "A member's bytes are not those that are listed for it.", _AGAIN
        ),
        BundleRule("BUNDLE-SIZE", "A member's size is not the one that is listed.", _AGAIN),
        BundleRule("BUNDLE-MODE", "A member's mode is not the one that is listed.", _AGAIN),
        BundleRule(
            "BUNDLE-SET",
            "payload/oejail.set, which the target starts, is not the set that manifest.json "
            "describes, or names files that are not there.",
            _AGAIN,
        ),
        BundleRule(
            "BUNDLE-SAMPLE",
            "A file carries the sample tree's mark, but manifest.json does not call the bundle a "
            "sample.",
            "Pack a build of the real sources, or take the bundle for the sample that it is.",
        ),
    )
}


def finding(rule: str, where: str, message: str) -> Finding:
    """A finding of one of these rules."""
    return Finding(rule, RULES[rule].severity, message, where)
