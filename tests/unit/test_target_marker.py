# SPDX-License-Identifier: MIT
"""Answers of a shell: whatever is printed between their characters, they are read right."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.target.marker import ALPHABET, CUT, MAX_LINE, Shell

NONCE = 0o765432


def ran(shell: Shell, *lines: bytes, program: str = "sh") -> bytes:
    """What a real shell prints when these lines are typed."""
    done = subprocess.run([program], input=b"".join(lines), capture_output=True, check=False)
    return done.stdout


def status_of(shell: Shell) -> int | None:
    """For mypy, to which a property is a value that stays."""
    return shell.status


def answered(status: int) -> tuple[Shell, bytes]:
    """A shell that was asked for `exit status`, and the bytes with which it answers."""
    shell = Shell(NONCE)
    greeting = shell.greeting()
    shell.number = 0o1233
    return shell, ran(shell, greeting, shell.command(f"(exit {status})"))


@pytest.mark.parametrize("status", [0, 1, 8, 17, 139, 255])
@pytest.mark.parametrize("program", ["sh", "bash"])
def test_a_real_shell_answers(status: int, program: str) -> None:
    shell = Shell(NONCE)
    greeting = shell.greeting()
    assert shell.feed(ran(shell, greeting, program=program)) == b""
    assert shell.status == 0
    said = ran(shell, greeting, shell.command(f"echo out; (exit {status})"), program=program)
    assert status_of(shell) is None
    assert shell.feed(said) == b"out\n"
    assert shell.status == status and not shell.unheard


def test_the_echo_is_no_answer() -> None:
    shell = Shell(NONCE)
    for line in (shell.greeting(), shell.command("true"), shell.again()):
        assert not set(line) & set(ALPHABET) - {0x15}  # which no terminal echoes
        shell.feed(line)
        assert shell.answer is None


_NOISE = st.binary(max_size=12).map(lambda data: data.translate(None, ALPHABET))


@given(st.lists(_NOISE, min_size=60, max_size=60), st.sampled_from([0, 1, 139]))
def test_other_writers_between_each_two_characters(noise: list[bytes], status: int) -> None:
    shell, said = answered(status)
    torn = b"".join(a + bytes([b]) for a, b in zip(noise, said, strict=False))
    text = b"".join(shell.feed(torn[at : at + 3]) for at in range(0, len(torn), 3))
    assert shell.status == status
    assert text == torn.translate(None, ALPHABET)


@given(st.binary(max_size=300))
def test_garbage_is_no_answer_and_does_no_harm(garbage: bytes) -> None:
    shell, said = answered(7)
    shell.feed(garbage)
    assert status_of(shell) is None
    shell.feed(said)  # may be spoiled by what came before
    shell.feed(said)  # the second time it is not
    assert shell.status == 7


def test_a_flood_is_not_kept() -> None:
    shell = Shell(NONCE)
    for _ in range(100):
        shell.feed(ALPHABET * 10_000)
    assert len(shell._rest) < 100 and shell.answer is None


def test_a_command_that_was_never_heard_is_told_from_one_that_was_cut() -> None:
    shell = Shell(NONCE)
    greeting = shell.greeting()
    shell.feed(ran(shell, greeting))
    lost = shell.command("true")
    shell.feed(ran(shell, greeting, shell.again().replace(b"\x15", b"")))
    assert shell.unheard and status_of(shell) is None
    for end in range(1, lost.index(b"true")):  # its beginning was lost: nothing of it runs
        said = ran(shell, greeting, lost.replace(b"true", b"echo ran")[end:])
        assert b"ran" not in said
    cut = greeting + b"n=1&&s=511\n"  # Ctrl-C: the rest of the line is not run
    shell.feed(ran(shell, cut, shell.again().replace(b"\x15", b"")))
    assert shell.status == CUT and not shell.unheard


def test_answers_of_others_count_for_nothing() -> None:
    _, said = answered(0)
    shell = Shell(NONCE + 1)
    shell.number = 0o1234
    shell.feed(said)
    assert shell.answer is None


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x1b", "x" * (MAX_LINE + 1)])
def test_what_is_no_line_is_not_typed(text: str) -> None:
    with pytest.raises(ValueError, match="no line"):
        Shell(NONCE).command(text)


def test_the_echo_of_a_command_is_known() -> None:
    shell = Shell(1)
    typed = shell.command("jailhouse cell start freertos").decode().rstrip("\n")
    assert shell.is_echo(typed) and shell.is_echo("\\x1b[6n" + typed) and shell.is_echo(typed[:40])
    assert shell.is_echo(typed[-20:]) and not shell.is_echo('Started cell "freertos"')
