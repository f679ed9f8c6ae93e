"""What a message shows of users' text, and which keys are misspelt ones."""

from __future__ import annotations

import pytest

from inferstack.core.errors import InputError
from inferstack.core.infeasible import Infeasible
from inferstack.core.text import one_slip


def test_no_message_steers_a_terminal_or_fills_it() -> None:
    error = InputError("a\x1b[31m\nfile", "wrong\u202e", got="\ud800", need="\x00", hint="x" * 9999)
    head, hint = str(error).split("\n\nhint: ")
    assert head == r"a\x1b[31m" + "\n" + r"file: wrong\u202e; got \ud800, need \x00"
    assert len(hint) < 2000
    lack = Infeasible(resource="t\x1b", demand=2, limit=1, unit="bytes", levers=())
    assert lack.message().startswith(r"t\x1b: does not fit")


@pytest.mark.parametrize(
    "slip", ["nam", "nname", "nsme", "naem", "Name", "names", "nane", "ame", "xname"]
)
def test_one_slip(slip: str) -> None:
    assert one_slip(slip, "name")


@pytest.mark.parametrize(("one", "other"), [("pad-token-id", "pad_token_id"), ("a", "ab")])
def test_a_hyphen_is_no_difference(one: str, other: str) -> None:
    assert one_slip(one, other)
    assert one_slip(other, one)


@pytest.mark.parametrize("other", ["nam es", "mean", "na", "nameless", "enam", "dtype"])
def test_two_slips_are_another_key(other: str) -> None:
    assert not one_slip(other, "name")
