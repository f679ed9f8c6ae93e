"""Models that write about images are read as the text alone, and say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inferstack as ist
from inferstack.core.errors import CheckpointError, UnknownNameError
from inferstack.models.catalogue import parameters_of
from inferstack.models.hugging_face import read_architecture
from inferstack.models.text_part import defaults

from .test_published_configs import CONFIGS


def written(folder: Path, **more: Any) -> Path:
    content = {**CONFIGS["gemma-3-4b-it"], **more}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize("kind", defaults())
def test_what_a_text_config_leaves_out_is_as_transformers_has_it(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CONFIG_MAPPING[kind]().to_dict()
    assert {key: theirs[key] for key in defaults()[kind]} == defaults()[kind]


def test_the_text_is_the_named_model_of_text(tmp_path: Path) -> None:
    _, text, weights = read_architecture(written(tmp_path))
    assert parameters_of("gemma-3-4b") == 3_880_263_168
    assert text.vocabulary * text.hidden == 262_208 * 2_560
    assert weights.element is not None
    counts = ist.load(tmp_path).count(128)
    assert counts.weight_bytes == 2 * 3_880_263_168
    assert any("vision_config is not read" in note for note in counts.notes)


def test_a_text_that_is_not_known_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path, text_config={"model_type": "mamba"})
    with pytest.raises(UnknownNameError, match=r"text_config: .*'mamba'"):
        ist.load(folder)
    with pytest.raises(CheckpointError, match="text_config: has no model_type"):
        ist.load(written(tmp_path, text_config={"hidden_size": 5}))
