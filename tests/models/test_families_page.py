"""The page of families says what each family does when it is tried, and none is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.slow import slow

from .families_page import HEAD, PAGE, first_referees, homes, row
from .referees import saved

KINDS = tuple(first_referees())
RENEW = "python -m tests.models.families_page"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "kind", [*KINDS[::12], *slow(kind for at, kind in enumerate(KINDS) if at % 12)]
)
def test_what_the_page_says_of_a_type_is_what_it_does(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    referee = first_referees()[kind]
    saved(referee, tmp_path)
    assert row(referee, tmp_path) in PAGE.read_text(encoding="utf-8").splitlines(), RENEW


def test_every_type_that_is_read_has_a_model_that_tries_it_and_a_row() -> None:
    assert set(first_referees()) == set(homes())
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(HEAD), RENEW
    assert text.endswith(f"\n\n{len(homes())} types.\n"), RENEW
    readme = PAGE.parents[2] / "README.md"
    assert f"[{len(homes())} types](docs/reference/families.md)" in readme.read_text("utf-8")
    named = [line.split(" ")[1] for line in text.removeprefix(HEAD).splitlines() if "|" in line]
    assert named == list(first_referees()), RENEW
