"""The page of families says what the tests hold, and every family is held."""

from __future__ import annotations

from .families_page import PAGE, page, rows


def test_the_page_is_todays() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.models.families_page"


def test_every_type_has_a_referee() -> None:
    assert not [row for row in rows() if row.split(" | ")[4] != "yes"]
