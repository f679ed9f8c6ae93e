"""What `benchmarks/mutators.py` changes, and what it leaves alone."""

from __future__ import annotations

import pytest

from mutators import Mutant, is_other, places

SOURCE = '''"""A module."""
from __future__ import annotations

LIMIT: Final = 7


@decorated(cache=True)
def f(x: int = 3, *, name: str = "n") -> int:
    """A docstring with 1 < 2."""
    assert x < 5, "text"
    if not x and name == "ä" or x > LIMIT:
        raise InputError(f"{x + 1}", "no", got=1)
    self.best = min(x, 2)
    return g(x + 1, x, deep=True)


class C:
    def __repr__(self) -> str:
        return "C" + "D"


pairs = zip(a, strict=True)
'''


def made(source: str) -> list[Mutant]:
    """All mutants of a source."""
    return [mutant for place in places("m.py", source) for mutant in place]


def test_every_mutant_is_another_program_on_its_line() -> None:
    found = made(SOURCE)
    assert found
    for mutant in found:
        assert is_other(mutant, SOURCE)
        before, after = SOURCE.splitlines(), mutant.applied(SOURCE).splitlines()
        changed = [
            n for n, pair in enumerate(zip(before, after, strict=True), 1) if pair[0] != pair[1]
        ]
        assert changed == [mutant.line]


def test_what_is_changed() -> None:
    assert {mutant.change for mutant in made(SOURCE)} >= {
        "7 -> 8",
        "3 -> 4",
        "\"n\" -> 'nx'",
        "not x -> x",
        "not x and name == \"ä\" -> (not x or name == 'ä')",
        "name == \"ä\" -> (name != 'ä')",
        "x > LIMIT -> (x >= LIMIT)",
        "x > LIMIT -> (x <= LIMIT)",
        "min(x, 2) -> (max(x, 2))",
        "self.best = min(x, 2) -> pass",
        'raise InputError(f"{x + 1}", "no", got=1) -> pass',
        "x + 1 -> (x - 1)",
        "True -> False",
        "g(x + 1, x, deep=True) -> (g(x + 1, x))",
        "g(x + 1, x, deep=True) -> (g(x, x + 1, deep=True))",
        "g(x + 1, x, deep=True) -> None",
    }


def test_texts_types_checks_and_decorators_are_left_alone() -> None:
    lines = {mutant.line for mutant in made(SOURCE)}
    assert lines == {4, 8, 11, 12, 13, 14}
    only = [mutant.change for mutant in made(SOURCE) if mutant.line == 12]
    assert len(only) == 1, "an error may be left out, and its text is nobody's business"


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("while a < b:\n    break\n", {"a < b -> False", "break -> pass"}),
        ("x = [y for y in z if y]\n", {"y -> True", "y -> False"}),
        ("x += 1\n", {"x += 1 -> x -= 1", "x += 1 -> pass"}),
        ("x = a if b else c\n", {"b -> True", "b -> False"}),
        ("x = -a\n", {"-a -> a"}),
        ("x = a << 2\n", {"a << 2 -> (a >> 2)", "2 -> 3"}),
        ("x[0] = y\n", {"x[0] = y -> pass"}),
        ("x.append(y)\n", {"x.append(y) -> pass"}),
    ],
)
def test_changes_by_kind(source: str, changes: set[str]) -> None:
    assert {mutant.change for mutant in made(source)} >= changes


def test_a_change_that_is_none() -> None:
    (mutant,) = (m for m in made("x = f(a, a)\n") if m.kind == "arguments swapped")
    assert not is_other(mutant, "x = f(a, a)\n")
