"""The named models: every name once, counted as published where that is known."""

from __future__ import annotations

import pytest

import inferstack as ist
from inferstack.models import catalogue
from inferstack.models.named import named_models


def test_every_name_has_its_parameters_and_a_source() -> None:
    rows = {row["name"]: row for row in ist.named_models().records()}
    assert set(rows) == set(ist.model_names())
    assert all(row["source"] and row["parameters"] > 0 for row in rows.values())
    for model in named_models():
        assert model.parameters in (None, rows[model.name]["parameters"]), model.name
    assert rows["resnet50"]["source"].startswith("He et al. 2015")


def test_one_type_alone() -> None:
    assert {row["model_type"] for row in ist.named_models("t5").records()} == {"t5"}
    with pytest.raises(ist.InputError, match="did you mean 'bert'"):
        ist.named_models("berd")
    assert "flan-t5-small" in str(ist.named_models("t5"))


def test_a_type_builds_its_own_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def parameters_of(name: str) -> int:
        built.append(name)
        return len(built)

    monkeypatch.setattr(catalogue, "parameters_of", parameters_of)
    rows = ist.named_models("t5").records()
    assert sorted(built) == sorted(row["name"] for row in rows)
