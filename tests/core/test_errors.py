"""Messages say what is known, and not all of it where that is much."""

from __future__ import annotations

from inferstack.core.errors import UnknownNameError


def test_of_many_names_the_nearest_are_listed() -> None:
    names = [f"model-{number}" for number in range(100)]
    error = UnknownNameError("MODEL", "model", "model-x", names, listed_by="inferstack models")
    assert "100 models are known, " in str(error)
    assert str(error).count("model-") <= 7
    assert str(error).endswith("`inferstack models` lists all")
    assert str(UnknownNameError("X", "thing", "b", ["a"])).endswith("things known: a")
