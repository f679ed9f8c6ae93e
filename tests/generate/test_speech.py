"""A small Whisper hears what transformers' hears, token for token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.generate.test_two_stacks import with_words
from tests.models.referees import SPEECH, Referee, saved
from tests.models.test_sound import sounds, write

import inferstack as ist
from inferstack.api.transcriber import Transcriber, loaded_transcriber
from inferstack.cli.main import main
from inferstack.core.errors import CheckpointError, InputError
from inferstack.generate.speech import windows

TOKENS = 9
SETTINGS: dict[str, dict[str, Any]] = {
    "one language": {"no_timestamps_token_id": 11, "suppress_tokens": [5, 900]},
    "several": {
        "no_timestamps_token_id": 11, "is_multilingual": True,
        "lang_to_id": {"<|en|>": 12, "<|fr|>": 13, "<|de|>": 14},
        "task_to_id": {"transcribe": 15, "translate": 16}, "begin_suppress_tokens": [2, 30],
    },
}  # fmt: skip
WHISPER = Referee(
    model_type="whisper",
    more={**SPEECH.more, "max_source_positions": 50, "max_target_positions": 40},
    auto=SPEECH.auto,
)


def made(folder: Path, settings: dict[str, Any]) -> Any:
    """The model of transformers; all that we read stands in the folder."""
    import transformers

    model = saved(WHISPER, folder)
    transformers.WhisperFeatureExtractor(feature_size=6, chunk_length=1).save_pretrained(folder)
    with_words(folder, **settings)
    model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    return model


def theirs(model: Any, folder: Path, samples: Any, **asked: Any) -> list[int]:
    import transformers

    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    features = extractor(samples, sampling_rate=16000, return_tensors="pt").input_features
    found = model.generate(
        features,
        generation_config=model.generation_config,
        max_new_tokens=TOKENS,
        do_sample=False,
        return_timestamps=False,
        **asked,
    )
    ids: list[int] = found[0].tolist()
    return ids


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("whisper") / "tiny"
    made(place, SETTINGS["several"])
    return place


@pytest.fixture(scope="module")
def transcriber(folder: Path) -> Transcriber:
    return loaded_transcriber(folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ("one language", {}),
        ("several", {"language": "fr", "task": "translate"}),
        ("several", {"language": "de", "task": "transcribe"}),
        ("several", {"task": "transcribe"}),
    ],
)
def test_the_tokens_are_those_of_transformers(
    tmp_path: Path, settings: str, asked: dict[str, str]
) -> None:
    pytest.importorskip("transformers")
    model = made(tmp_path, SETTINGS[settings])
    ours = loaded_transcriber(tmp_path)
    for kind, seconds in (("noise", 0.9), ("chord", 0.4)):
        samples = sounds(seconds)[kind].astype(np.float32)
        expected = theirs(model, tmp_path, samples, **asked)
        path = write(tmp_path / "a.wav", samples, 4)
        (said,) = ours.transcribe(path, max_tokens=TOKENS, **asked).windows  # type: ignore[arg-type]
        assert expected[-len(said.ids) :] == list(said.ids)
        assert len(said.ids) >= 2
        assert said.end_s == pytest.approx(seconds)


def test_windows_are_cut_where_it_is_quiet() -> None:
    samples = np.random.default_rng(1).normal(0, 1, 70_000)
    quiet = [(13_000, 15_000), (26_000, 29_000), (43_500, 46_500)]
    for start, end in quiet:
        samples[start:end] *= 1e-3
    found = list(windows(samples, 1000, 16_000))
    assert [start for start, _ in found] == [0, *(end for _, end in found[:-1])]
    assert found[-1][1] == len(samples)
    assert all(0 < end - start <= 16_000 for start, end in found)
    for (start, end), (_, cut) in zip(quiet, found, strict=False):
        assert start < cut < end
    assert list(windows(samples[:16_000], 1000, 16_000)) == [(0, 16_000)]


def test_a_long_sound_is_heard_window_by_window(tmp_path: Path, transcriber: Transcriber) -> None:
    path = write(tmp_path / "long.wav", sounds(2.5)["noise"])
    whole = transcriber.transcribe(path, language="en", max_tokens=4)
    assert len(whole.windows) >= 3
    assert whole.text == " ".join(one.text for one in whole.windows)
    assert whole.records()[0]["start_s"] == 0
    assert whole.records()[-1]["end_s"] == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"language": "xx"}, "--language: unknown language; got 'xx'"),
        ({"task": "sing"}, "--task: unknown task; got 'sing'"),
        ({"max_tokens": 0}, "--max-tokens: makes no sense"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, transcriber: Transcriber, wrong: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "a.wav", sounds(0.1)["noise"])
    with pytest.raises(InputError, match=message):
        transcriber.transcribe(path, **wrong)


def test_the_verb_prints_the_text_or_json(
    tmp_path: Path, folder: Path, transcriber: Transcriber, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.wav", sounds(0.5)["chord"])
    asked = ["transcribe", str(folder), str(path), "--max-tokens", "5"]
    expected = transcriber.transcribe(path, max_tokens=5)
    assert main(asked) == 0
    assert capsys.readouterr().out == expected.text + "\n"
    assert main([*asked, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected.to_dict()
    assert main(["transcribe", str(folder), str(tmp_path / "absent.wav")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_model_that_reads_texts_does_not_hear(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is no model of that kind"):
        ist.load(folder).writer()
    (folder / "preprocessor_config.json").rename(tmp_path / "away")
    try:
        with pytest.raises(CheckpointError, match="has no preprocessor_config"):
            ist.load(folder).transcriber()
    finally:
        (tmp_path / "away").rename(folder / "preprocessor_config.json")
