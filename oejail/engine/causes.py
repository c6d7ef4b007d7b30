# SPDX-License-Identifier: MIT
"""The table of what makes builds fail: how it looks in BitBake's words, what it means, what to do.

The texts are of others and may be made to hurt: no pattern may take more than linear time, so none
begins with an open repetition without a word's start before it.

The phrases are those of BitBake 1.50 to 2.19, OE-core's sanity checks and oebuild 0.2. The table's
order is that of preference: what explains most comes first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAX_TEXT = 1 << 20
_MAX_GROUP = 300


@dataclass(frozen=True)
class Cause:
    """One kind of failure. `text` and `hint` may name the pattern's groups in braces."""

    id: str
    pattern: re.Pattern[str]
    text: str
    hint: str


@dataclass(frozen=True)
class Found:
    """A cause that fits, in words."""

    id: str
    text: str
    hint: str


def find(text: str) -> Found | None:
    """The first cause of the table that fits `text` (its last megabyte)."""
    text = text[-_MAX_TEXT:]
    for cause in CAUSES:
        match = cause.pattern.search(text)
        if match is not None:
            groups = {name: " ".join((v or "").split()) for name, v in match.groupdict().items()}
            groups = {name: value[:_MAX_GROUP] for name, value in groups.items()}
            return Found(cause.id, cause.text.format(**groups), cause.hint.format(**groups))
    return None


def _cause(name: str, pattern: str, text: str, hint: str) -> Cause:
    return Cause(name, re.compile(pattern, re.MULTILINE), text, hint)


CAUSES = (
    # The machine.
    _cause(
        "disk-full",
        r"No space left on device|Disk quota exceeded|Errno 28\]"
        r"|Immediately (?:halt|abort) since the disk space monitor"
        r"|No new tasks can be executed since the disk space monitor",
        "the disk is full",
        "free some space (oejail doctor shows how much there is) and run the same command again",
    ),
    _cause(
        "killed",
        r"(?:Killed signal|signal 9|SIGKILL|internal compiler error: Killed|exit code (?:-9|137))\b"
        r"|run\.do_\w+(?:\.\d+)?', (?:-9|137)\b"  # BitBake 2.0
        r"|^(?:.*: line \d+: +\d+ )?Killed\b|^virtual memory exhausted|out of memory",
        "a process was killed, most likely because memory ran out",
        "give the machine more memory, or let fewer tasks run at once (local_conf: in oejail.yaml:"
        " BB_NUMBER_THREADS)",
    ),
    _cause(
        "root",
        r"Do not use Bitbake as root|can not use oebuild in root",
        "BitBake and oebuild refuse to run as root",
        "set build_user: in oejail.yaml (or --build-user) to an ordinary user",
    ),
    _cause(
        "locale",
        r"use a locale setting which supports UTF-8|unsupported locale setting"
        r"|needs to support the \S+ locale|make sure locale '[^'\n]+' is available",
        "the machine lacks a UTF-8 locale that BitBake needs",
        "install it (Debian: locales, en_US.UTF-8) and run the same command again",
    ),
    _cause(
        "hosttools",
        r"required tools \(as specified by HOSTTOOLS\) appear to be unavailable in PATH"
        r"[^\n]*\n(?:ERROR: )?\s*(?P<tools>[^\n]+)",
        "the machine lacks tools that the build needs: {tools}",
        "install them and run the same command again",
    ),
    _cause(
        "lock-held",
        r"(?:Unable to connect to bitbake server, or start one"
        r"|Retrying server connection \(#[3-9]|holding bitbake\.lock)",
        "another BitBake works in this build directory, or its server did not start",
        "look at bitbake-cookerdaemon.log in the build directory; end what is left there",
    ),
    # The configuration.
    _cause(
        "missing-layer",
        r"The following layer directories do not exist:\s*(?:ERROR:\s*)?(?P<layer>/[^\n]+)",
        "a layer that conf/bblayers.conf names is not there: {layer}",
        "oejail layers show, then oejail layers remove it, or put it back",
    ),
    _cause(
        "duplicate-collection",
        r"Found duplicated BBFILE_COLLECTIONS '(?P<name>[^'\n]+)'",
        "the layer {name} is in conf/bblayers.conf twice (two spellings of one directory, or two"
        " copies)",
        "oejail layers show, then oejail layers remove one of them",
    ),
    _cause(
        "layer-series",
        r"Layer (?P<layer>\S+) is not compatible with the core layer which only supports these "
        r"series: (?P<core>[^(\n]*)\(layer is compatible with (?P<own>[^)\n]*)\)",
        "the layer {layer} is made for {own}, the tree is {core}",
        "use the layer's branch for this tree, or add the series to its LAYERSERIES_COMPAT",
    ),
    _cause(
        "layer-depends",
        r"Layer '(?P<layer>[^'\n]+)' depends on (?:version \S+ of )?layer '(?P<need>[^'\n]+)'",
        "the layer {layer} needs the layer {need}, which is not in the build",
        "oejail layers add the directory of {need}",
    ),
    _cause(
        "dangling-append",
        r"No recipes in \S+ available for:\s*(?P<append>\S+)",
        "an append has no recipe: {append}",
        "add the layer that has the recipe, or remove the append",
    ),
    _cause(
        "local-conf",
        r"ParseError (?:at|in) (?P<file>\S*/conf/(?:local|auto|site)\.conf)(?::(?P<line>\d+))?:? "
        r"(?P<what>[^\n]+)",
        "{file} line {line}: {what}",
        "mend local_conf: in oejail.yaml, then oejail generate",
    ),
    _cause(
        "parse-error",
        r"ParseError (?:at|in) (?P<file>[^\s:]+):(?P<line>\d+)?:? ?(?P<what>[^\n]+)",
        "a syntax error in {file} line {line}: {what}",
        "mend that line and run the same command again",
    ),
    _cause(
        "expansion",
        r"ExpansionError[^\n]*?(?:expression was (?P<what>[^\n]+)|$)",
        "a variable cannot be expanded: {what}",
        "mend the recipe and run the same command again",
    ),
    # The targets.
    _cause(
        "machine",
        r"(?<!\S)(?P<recipe>\S+) was skipped: incompatible with machine (?P<machine>\S+)",
        "the recipe {recipe} does not support the machine {machine} (COMPATIBLE_MACHINE)",
        "choose another platform, or extend COMPATIBLE_MACHINE in an append",
    ),
    _cause(
        "skipped",
        r"(?<!\S)(?P<recipe>\S+) was skipped: (?P<why>[^\n]+)",
        "the recipe {recipe} is switched off here: {why}",
        "see targets: and features: in oejail.yaml",
    ),
    _cause(
        "no-provider",
        r"Nothing R?PROVIDES '(?P<item>[^'\n]+)'(?: \(but (?P<by>[^\n]{1,300}?) R?DEPENDS)?",
        "no layer of the build has a recipe for {item}",
        "check the name; oejail layers show lists the layers, oejail layers add adds the one",
    ),
    _cause(
        "many-providers",
        r"Multiple \.bb files are due to be built which each provide (?P<item>\S+)",
        "several recipes provide {item}",
        "choose one by PREFERRED_PROVIDER in local_conf: in oejail.yaml",
    ),
    # The tasks.
    _cause(
        "checksum",
        r"Checksum mismatch!|checksum of '[^'\n]+' is wrong|checksum '\S+' when '\S+' was expected",
        "what was downloaded is not what the recipe expects (checksum)",
        "delete the file below downloads/ and try again; if it stays, the source was changed",
    ),
    _cause(
        "no-network",
        r"Network access disabled through BB_NO_NETWORK[^\n]*\(for url (?P<url>[^)\s]+)"
        r"|Fetcher Error: NetworkAccess\('(?P<other>[^'\n]+)'",  # BitBake 2.0
        "the network is switched off (BB_NO_NETWORK), and this must be fetched: {url}{other}",
        "fetch it beforehand, or put it into downloads/ or a mirror",
    ),
    _cause(
        "fetch",
        r"Fetcher failure for URL: '(?P<url>[^'\n]+)'|Unable to fetch URL from any source"
        r"|Could(?: not|n't) resolve host:? ?(?P<host>\S*)|Failed to fetch URL (?P<other>\S+)",
        "the source could not be fetched: {url}{other}{host}",
        "check network, proxy and URL (mirrors: in oejail.yaml), then run the same command again",
    ),
    _cause(
        "license-checksum",
        r"LIC_FILES_CHKSUM points to an invalid file|The new md5 checksum is|\[license-checksum\]",
        "the licence text is not the one that the recipe expects",
        "look at the change, then correct LIC_FILES_CHKSUM in the recipe",
    ),
    _cause(
        "overlap",
        r"trying to install files into a shared area when those files already exist",
        "two recipes put the same file into a shared directory",
        "let only one of them deploy it, or clean the other (oejail bitbake -- -c clean RECIPE)",
    ),
    _cause(
        "qa",
        r"QA Issue: (?P<what>[^\n]+)|Fatal QA errors? (?:was|were) found",
        "a packaging check failed: {what}",
        "mend the recipe; INSANE_SKIP only where the check is wrong",
    ),
    _cause(
        "undefined-reference",
        r"undefined (?:reference to|symbol:?) [`'\"]?(?P<name>[\w.@]+)",
        "the linker misses {name}",
        "link the file that defines it",
    ),
    _cause(
        "no-header",
        r"fatal error: '?(?P<file>[^\s':]+)'?(?: file not found|: No such file)",
        "the header {file} is not there",
        "add it, or the recipe that has it to DEPENDS",
    ),
    _cause(
        "no-command",
        r"(?:line \d+: |: )(?P<name>[\w./+-]+): (?:command )?not found",
        "the program {name} is not there",
        "install it, or add it to HOSTTOOLS or the recipe's DEPENDS",
    ),
    _cause(
        "source-error",
        r"(?<!\S)\S+:\d+(?::\d+)?: (?:fatal )?error: ",
        "the compiler refused the source",
        "mend it and run the same command again",
    ),
)
