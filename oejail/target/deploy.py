# SPDX-License-Identifier: MIT
"""From a verified bundle to /opt/oejail on a board, by one rename; and back.

What is done there is done by oejail's own install.sh, never by the archive's. Findings come before
anything is touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oejail.artifacts.layout import TARGET_FILES
from oejail.bundle import examine
from oejail.bundle.extract import extract_all
from oejail.bundle.manifest import FileEntry, Manifest
from oejail.bundle.setcheck import check as check_set
from oejail.bundle.setcheck import collection_of
from oejail.checks.finding import Finding, any_fails, sort
from oejail.errors import FindingsError, TargetFailed, UsageFault, WorkspaceBusy
from oejail.files import MIB, naming
from oejail.log import logger
from oejail.platforms import load, names
from oejail.target import preflight
from oejail.target.preflight import Board
from oejail.target.preflight_rules import finding, split, waived
from oejail.target.ssh import Answer, Remote

PREFLIGHT = Path(__file__).with_name("preflight.sh")
_SLOWEST = 50_000  # bytes a second that a connection is given time for
_BUSY = 3  # what install.sh ends with when another one is at work
_CURRENT = re.compile(r"current: ([0-9a-f]{16}) \(was (nothing|[0-9a-f]{16})\)")
_BASE = "/opt/oejail"
_WANTS = "/etc/systemd/system/multi-user.target.wants"
_LINKS = {
    "systemd": ("/etc/systemd/system/oejail.service", f"{_WANTS}/oejail.service"),
    "rc5.d": ("/etc/rc5.d/S90oejail",),
    "init.d": ("/etc/init.d/S90oejail",),
}
"""What `--enable` makes, by what the board starts with."""


@dataclass(frozen=True)
class Verified:
    """A bundle that may be deployed; `signer` is empty where the caller wants no signature."""

    path: Path
    head: Manifest
    digest: str
    signer: str


@dataclass
class Deployed:
    """What was found and done, or, with `dry_run`, would be."""

    board: str
    digest: str
    was: str
    """Digest that was current before; empty: none."""
    actions: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    dry_run: bool = False


def verified(bundle: Path, *, signers: Path | None, unsigned: bool) -> Verified:
    """The bundle at `bundle`, when it is whole, no sample, and signed by one of `signers`.

    `unsigned` says that no signature is wanted. Raises UsageFault when it is not said who may
    sign, FindingsError when anything is wrong.
    """
    if unsigned:
        signers = None
    elif signers is None:
        raise UsageFault(
            f"{bundle}: who may sign it is not said",
            hint="--signers FILE, or signers: in oejail.yaml; or --unsigned, typed out",
        )
    found = examine(bundle, signers)
    failing = [f for f in found.findings if f.fails]
    if found.manifest is not None and found.sample and not failing:
        failing = [finding("deploy-sample", bundle.name, "made from the sample tree, no Jailhouse")]
    if failing or found.manifest is None:
        refuse(f"{bundle}: not deployed", failing or list(found.findings))
    assert found.manifest is not None
    return Verified(bundle, found.manifest, found.digest, found.signer)


def refuse(what: str, findings: list[Finding]) -> None:
    """Raise FindingsError with the ids of those that are errors."""
    failing = [f for f in findings if f.fails] or findings
    rules = ", ".join(dict.fromkeys(f.rule for f in failing))
    raise FindingsError(
        f"{what}: {rules}",
        hint="oejail explain RULE says what one means",
        details=[f.line() for f in failing[:20]],
    )


def look(remote: Remote) -> Board:
    """What the board is and has; nothing there is changed."""
    logger.info("%s: looking", remote.name)
    answer = remote.run(
        PREFLIGHT.read_text(), name="oejail-preflight", doing="while looking", timeout=90
    )
    return preflight.parse(answer.lines)


def deploy(
    remote: Remote,
    bundle: Verified,
    *,
    boot: str | None = None,
    start: bool = False,
    dry_run: bool = False,
    waive: Mapping[str, str] | None = None,
) -> Deployed:
    """Install the bundle on the board, or upgrade to it.

    `boot` is `enable` or `disable`: whether it is started at boot; `start` says that it is going
    to be started now; `waive` maps ids of rules, about the board or the set, to reasons. With
    `dry_run` the findings and what would be done are returned, errors too.

    Raises UsageFault for a waiver of no rule, FindingsError before anything is touched,
    WorkspaceBusy when another one is at work there, TargetFailed for the rest; in each case the
    board has the old or the new version whole.
    """
    split(waive or {})
    board = look(remote)
    head = bundle.head
    with _unpacked(bundle) as files:
        findings = _findings(remote.name, board, head, files, boot, start, waive or {})
        was = board.current
        plan = _plan(board, bundle.digest, preflight.needed(head), boot)
        done = Deployed(remote.name, bundle.digest, was, plan, findings, dry_run)
        if dry_run:
            return done
        if any_fails(findings):
            refuse(f"{remote.name}: nothing was touched", findings)
        archive = next(iter(files.values())).with_name("archive.tar")
        size = _archive(archive, files)
        logger.info("%s: sending %.1f MiB", remote.name, size / MIB)
        answer = remote.run(
            _install_sh(),
            ["--receive", bundle.digest, *_flag(boot)],
            name="install.sh",
            doing="while installing",
            timeout=120 + size / _SLOWEST,
            data=archive,
        )
    now, done.was = _result(remote, answer)
    if now != bundle.digest:
        raise TargetFailed(f"{remote.name}: current is {now} now, not {bundle.digest}")
    return done


def switch(
    remote: Remote, *, back: bool, boot: str | None = None, dry_run: bool = False
) -> Deployed:
    """Go `back` to the version before, or keep the current one; `boot` as for `deploy`.

    Raises UsageFault when there is nothing to go back to, else as `deploy`.
    """
    board = look(remote)
    if not board.current:
        raise UsageFault(f"{remote.name}: nothing is installed", hint="oejail deploy BUNDLE HOST")
    target = board.versions.get(board.current, "") if back else board.current
    if target not in board.versions:
        raise UsageFault(
            f"{remote.name}: there is no version before {board.current}",
            hint="deploy the one that is wanted",
        )
    findings = []
    if board.uid != 0:
        findings.append(finding("deploy-root", remote.name, f"uid {board.uid}, not 0"))
    if boot == "enable" and not board.init:
        words = "neither systemd, /etc/rc5.d nor /etc/init.d"
        findings.append(finding("deploy-init", remote.name, words))
    findings += _in_the_way(board, boot, remote.name)
    actions = [*_rename(board, target), *_boot_plan(board, boot)]
    done = Deployed(remote.name, target, board.current, actions, findings, dry_run)
    if dry_run:
        return done
    if any_fails(findings):
        refuse(f"{remote.name}: nothing was touched", findings)
    answer = remote.run(
        _install_sh(),
        ["--rollback" if back else "--keep", *_flag(boot)],
        name="install.sh",
        doing="while going back" if back else "while changing links",
        timeout=120,
    )
    done.digest, done.was = _result(remote, answer)
    return done


def _install_sh() -> str:
    return (TARGET_FILES / "install.sh").read_text()


def _flag(boot: str | None) -> list[str]:
    return [] if boot is None else [f"--{boot}"]


def _result(remote: Remote, answer: Answer) -> tuple[str, str]:
    """The digests of the current version and of the one that was it."""
    if answer.status == _BUSY:
        raise WorkspaceBusy(
            f"{remote.name}: {answer.error.removeprefix('install.sh: error: ')}",
            hint="wait for it; of one whose connection is gone, end that process on the board",
        )
    found = [m for line in answer.lines if (m := _CURRENT.fullmatch(line.strip()))]
    if answer.status != 0 or not found:
        had = "the board has what it had before, whole"
        raise TargetFailed(
            f"{remote.name}: installing ended with status {answer.status}: "
            f"{answer.error.removeprefix('install.sh: error: ')}",
            hint=f"{found[-1][1]} is current, whole: only its start at boot is not as wanted"
            if found
            else had,
            details=answer.said[-8:-1],
        )
    now, was = found[-1].groups()
    return now, "" if was == "nothing" else was


@contextlib.contextmanager
def _unpacked(bundle: Verified) -> Iterator[dict[FileEntry, Path]]:
    """The payload's files, in a directory of our own, under names of our own."""
    payload = [entry for entry in bundle.head.files if entry.path.startswith("payload/")]
    with tempfile.TemporaryDirectory(prefix="oejail-") as name, naming(Path(name)):
        files = {entry: Path(name, str(number)) for number, entry in enumerate(payload)}
        extract_all(bundle.path, files)
        yield files


def _findings(
    name: str,
    board: Board,
    head: Manifest,
    files: Mapping[FileEntry, Path],
    boot: str | None,
    start: bool,
    waive: Mapping[str, str],
) -> list[Finding]:
    from dataclasses import replace

    platform = load(head.platform) if head.platform in names() else None
    of_board, of_set = split(waive)
    looked = preflight.check(board, head, platform, name, start=start, enable=boot == "enable")
    found = waived([*looked, *_in_the_way(board, boot, name)], of_board)
    paths = {entry.path: path for entry, path in files.items()}
    collection = collection_of(replace(head, files=tuple(files)))
    machine = preflight.machine(board, name)
    known = check_set(collection, paths.__getitem__, of_set, machine)
    found += [f for f in known if f.rule in preflight.MACHINE_RULES]
    return sort(found)


def _plan(board: Board, digest: str, size: int, boot: str | None) -> list[str]:
    """What is going to be done, a line each."""
    there = digest in board.versions
    plan = [
        f"compare {_BASE}/{digest}/, which is there already"
        if there
        else f"make {_BASE}/{digest}/ ({size} bytes)"
    ]
    plan += _rename(board, digest)
    before = board.versions.get(digest, "") if digest == board.current else board.current
    plan += [f"remove {_BASE}/{old}/" for old in board.versions if old not in (digest, before)]
    return plan + _boot_plan(board, boot)


def _rename(board: Board, digest: str) -> list[str]:
    if digest == board.current:
        return []
    return [f"link {_BASE}/current to {digest} (now {board.current or 'nothing'})"]


def _boot_target(board: Board) -> str:
    return f"{_BASE}/current/oejail.{'service' if board.init == 'systemd' else 'init'}"


def _in_the_way(board: Board, boot: str | None, name: str) -> list[Finding]:
    """What install.sh would not replace by its links."""
    target = _boot_target(board)
    paths = _LINKS.get(board.init, ()) if boot == "enable" else ()
    taken = [path for path in paths if board.links.get(path, target) != target]
    return [finding("deploy-init", name, f"{path}: is in the way, and not ours") for path in taken]


def _boot_plan(board: Board, boot: str | None) -> list[str]:
    if boot == "enable":
        target = _boot_target(board)
        paths = _LINKS.get(board.init, ())
        return [f"link {path} to {target}" for path in paths if board.links.get(path) != target]
    if boot == "disable":
        start = f"{_BASE}/current/oejail."
        return [f"remove {path}" for path, to in board.links.items() if to.startswith(start)]
    return []


def _archive(path: Path, files: Mapping[FileEntry, Path]) -> int:
    """Write what install.sh --receive reads: the lists and the payload, as a tar; its bytes."""
    lists: dict[str, list[str]] = {"SHA256SUMS": [], "MD5SUMS": []}
    for entry, source in files.items():
        lists["SHA256SUMS"].append(f"{entry.sha256}  {entry.path}\n")
        with source.open("rb") as stream:
            # Against damage on the way, where the board has no sha256sum; ssh is what protects.
            md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
        lists["MD5SUMS"].append(f"{md5.hexdigest()}  {entry.path}\n")
    with tarfile.open(path, "x", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in lists.items():
            data = "".join(text).encode()
            archive.addfile(_member(name, len(data), 0o644), io.BytesIO(data))
        for directory in sorted({entry.path.rpartition("/")[0] for entry in files}):
            info = _member(directory, 0, 0o755)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for entry, source in files.items():
            with source.open("rb") as stream:
                archive.addfile(_member(entry.path, entry.size, int(entry.mode, 8)), stream)
    return path.stat().st_size


def _member(name: str, size: int, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, 315532800  # 1980, as in the bundle
    return info
