# SPDX-License-Identifier: MIT
"""What a cell says, told from what Linux, the shell and the hypervisor say."""

from __future__ import annotations

import pytest

from oejail.target.listen import Listener
from oejail.target.signs import SIGNS, Evidence

ECHO = b"oejail/bin/jailhouse cell start hello; echo\r\n"
STARTED = b'Started cell "hello"\r\r\n'


def heard(data: bytes, wanted: str | None = "hello", times: int = 1, size: int = 1) -> Listener:
    listener = Listener(wanted, times)
    for at in range(0, len(data), size):
        listener.feed(data[at : at + size])
    return listener


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_neither_echo_nor_the_hypervisors_words_are_the_cells(size: int) -> None:
    listener = heard(ECHO + STARTED, size=size)
    assert not listener.met and listener.silent
    assert heard(ECHO + STARTED + b"well, hello\r\n", size=size).met


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_line_editors_question_in_the_midst_of_the_text(size: int) -> None:
    assert heard(STARTED + b"he\x1b[6nllo", size=size).met


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_line_of_the_kernels_in_the_midst_of_the_text(size: int) -> None:
    torn = STARTED + b"he[   12.345678] hrtimer: interrupt took 19938384 ns\r\nllo"
    assert heard(torn, size=size).met
    assert heard(STARTED + b"[   12.345678] hello\r\n", size=size).met  # a Linux in the cell


def test_what_could_be_a_kernels_line_is_not_held_for_ever() -> None:
    listener = heard(STARTED + b"[   12.345678] " + b"x" * 100_000 + b"hel", size=4096)
    assert len(listener._kernel) < 10_000
    listener.feed(b"lo")
    assert listener.met


def test_a_start_whose_words_are_torn() -> None:
    listener = heard(ECHO + b'Star[  1.2] tedcell "hello"\r\nwell, ')
    assert not listener.begun
    listener.answered()
    listener.feed(b"hello again")
    assert listener.met


LINE = (
    b"\x1b[6nn=6&&s=511&&{ [ $n = 6 ]&&{ /oejail/bin/jailhouse cell start hello;};"
    b"s=$?\r\n;};m\r\r\n"
)
"""The echo of a whole line, as a line editor of 80 columns wraps it."""


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_cell_that_speaks_before_the_hypervisor_has_ended_its_word(size: int) -> None:
    cell = b"Hello World main()!\r\nThis is the greeting\r\ntask 0\r\n"
    torn = LINE + b"S" + cell + b'tarted cell "hello"\r\r\n'
    listener = heard(torn, "This is the greeting", size=size)
    assert listener.met and listener.seen == 1 and not listener.silent
    assert heard(LINE + cell + STARTED, "This is the greeting", size=size).met
    assert not heard(LINE + STARTED, "hello", size=size).met
    assert heard(LINE + STARTED, None, size=size).silent
    assert heard(LINE + b"S[    3.25] usb 1-1\r\n" + STARTED[1:], None, size=size).silent


def strewn(text: bytes, word: bytes) -> bytes:
    """Two CPUs that write letter by letter, the one with the longer text a little faster."""
    at = range(5, 5 + len(word))
    return b"".join(
        text[i : i + 1] + (word[i - 5 : i - 4] if i in at else b"") for i in range(len(text))
    )


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_cells_greeting_and_the_hypervisors_word_letter_by_letter(size: int) -> None:
    listener = Listener("This is the greeting", 1, "hello")
    woven = LINE + strewn(b"Hello!\r\nThis is the greeting\r\ntask 0\r\n", STARTED)
    for at in range(0, len(woven), size):
        listener.feed(woven[at : at + size])
    assert not listener.begun
    listener.answered()
    assert listener.met and listener.seen == 1
    other = Listener("This is another greeting", 1, "hello")
    other.feed(woven)
    other.answered()
    assert not other.met
    other.feed(b"x" * 100_000 + b"This is another greetin")
    assert not other.met and len(other._woven._states) < 100


def test_any_output_means_output_of_the_cell() -> None:
    noise = b'[   10.5] random: crng init done\r\n/root # \r\n\r\nCell "x" can be loaded\r\n'
    assert not heard(STARTED + noise, None).met
    assert heard(STARTED + noise + b"tick\r\n", None).met


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_systemd_is_no_cell_and_bash_shows_a_line_twice(size: int) -> None:
    """Typed before the prompt was there: the terminal shows it, and then the line editor."""
    line = b"n=6&&s=511&&{ [ $n = 6 ]&&{ /oejail/bin/jailhouse cell start hello;};s=$?;};m\r\n"
    bash = line + b"\x1b[?2004h" + line.replace(b"{ /oejail", b"{ / \roejail") + b"\x1b[?2004l\r"
    status = (
        b"[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mhello.service\x1b[0m.\r\n"
        b"         Starting \x1b[0;1;39mhello\x1b[0m...\r\n[  OK  ] Reached target hello.\r\n"
        b"[FAILED] Failed to start hello.\r\n[ ***  ] A start job is running\r\n"
    )
    assert not heard(bash + STARTED, "hello", size=size).met
    assert heard(bash + STARTED + status, None, size=size).silent
    assert not heard(bash + STARTED + status + b"well\r\n", None, size=size).silent


def test_repeated() -> None:
    assert not heard(STARTED + b"hello\r\n", times=2).met
    assert heard(STARTED + b"hello\r\nhello\r\n", times=2).met


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_signs_across_pieces(size: int) -> None:
    data = b"x" * 9000 + b" Missing hypervisor image jailhouse.bin\r\n" + b"y" * 9000
    evidence = Evidence()
    for at in range(0, len(data), size):
        evidence.feed(data[at : at + size])
    assert list(evidence.seen) == ["no-firmware"]
    assert "Missing hypervisor image" in evidence.seen["no-firmware"]


def test_what_is_kept_of_a_flood_is_bounded() -> None:
    evidence = Evidence()
    for _ in range(200):
        evidence.feed(b"z" * 100_000)
    assert evidence.bytes == 20_000_000
    assert len(evidence._waiting) < 10_000 and not evidence.seen


def test_no_sign_hides_another() -> None:
    """Every text is found by itself."""
    for name, texts in SIGNS.items():
        for text in texts:
            evidence = Evidence()
            evidence.feed(b"\x1b[2J " + text + b" \xff\n")
            assert name in evidence.seen
            assert evidence.seen[name].isprintable()
