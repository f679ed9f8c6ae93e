"""Encoder-decoders write what transformers' greedy generation writes, token for token."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.dense_decoders import VOCABULARY
from tests.models.referees import TWO_STACKS, Referee, saved

import inferstack as ist
from inferstack.api.text_to_text import TextToText, loaded_text_to_text
from inferstack.cli.main import main
from inferstack.core.errors import CheckpointError, InputError

TOKENS = 14
RULES: dict[str, dict[str, Any]] = {
    "none": {},
    "all": {
        "no_repeat_ngram_size": 2, "encoder_no_repeat_ngram_size": 1, "repetition_penalty": 1.3,
        "min_length": 6, "min_new_tokens": 4,
        "suppress_tokens": [7, 11], "begin_suppress_tokens": [9, 500],
        "bad_words_ids": [[5], [8, 3]], "forced_bos_token_id": 4, "forced_eos_token_id": 2,
    },
}  # fmt: skip


def with_words(folder: Path, **generation: Any) -> Path:
    """A tokenizer whose words are w3, w4, ...; a text ends with </s>, which is 2."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {"<s>": 0, "<pad>": 1, "</s>": 2} | {f"w{n}": n for n in range(3, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w3"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="w40 $A </s>", special_tokens=[("w40", 40), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    # With it transformers leaves out what it does not know.
    settings.pop("_from_model_config", None)
    settings |= {"decoder_start_token_id": 2, "bos_token_id": 0, "eos_token_id": 2, **generation}
    path.write_text(json.dumps(settings), encoding="utf-8")
    return folder


def prompt_of(seed: int, count: int) -> str:
    return " ".join(f"w{n}" for n in np.random.default_rng(seed).integers(3, VOCABULARY, count))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("referee", TWO_STACKS, ids=lambda referee: referee.name)
def test_the_text_is_that_of_transformers(referee: Referee, rules: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import GenerationConfig

    model = saved(referee, tmp_path)
    ours = loaded_text_to_text(with_words(tmp_path, **RULES[rules]))
    asked = GenerationConfig.from_pretrained(
        tmp_path, max_new_tokens=TOKENS, do_sample=False, use_cache=False
    )
    for seed, count in ((1, 9), (2, 4), (3, 1)):
        prompt = prompt_of(seed, count)
        ids = ours.tokenizer.encode(prompt)
        assert (ids[0], ids[-1], len(ids)) == (40, 2, count + 2)
        with torch.no_grad():
            theirs = model.generate(torch.tensor([ids]), generation_config=asked)[0].tolist()
        stream = ours.stream(prompt, max_tokens=TOKENS)
        text = "".join(stream)
        assert [*stream.prompt, *stream.ids] == theirs
        assert text == ours.tokenizer.decode(stream.ids)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("two") / "bart"
    saved(next(one for one in TWO_STACKS if one.name == "bart"), place)
    return with_words(place)


@pytest.fixture(scope="module")
def writer(folder: Path) -> TextToText:
    return loaded_text_to_text(folder)


def test_a_language_begins_the_text_and_stands_beside_the_source(writer: TextToText) -> None:
    written = writer.stream("w9 w5", target_language="w17", max_tokens=3)
    list(written)
    assert written.ids[0] == 17
    ids = writer.tokenizer.encode("w9 w5")
    assert writer.tokenizer.with_language("--source-language", ids, 33, 0) == [33, *ids[1:]]
    other = writer.generate("w9 w5", source_language="w33", max_tokens=6)
    assert other == "".join(writer.stream("w9 w5", source_language="w33", max_tokens=6))
    assert other != writer.generate("w9 w5", max_tokens=6)


def test_one_door_for_all_that_write(folder: Path, writer: TextToText) -> None:
    model = ist.load(folder)
    assert isinstance(model.writer(), TextToText)
    assert model.generate("w9 w5", max_tokens=5) == writer.generate("w9 w5", max_tokens=5)
    with pytest.raises(CheckpointError, match="is no model that continues a text"):
        model.decoder()
    stream = writer.stream("w9 w5", max_tokens=2)
    list(stream)
    assert (stream.read_tokens, len(stream.ids), stream.ids[-1]) == (4, 2, 2)
    assert "bart: 2 and 3 layers" in repr(writer)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"chat": True}, "--chat: bart reads texts"),
        ({"target_language": "fr"}, "--target-language: is no token of the model; got 'fr'"),
        ({"source_language": 5}, "--source-language: is no token"),
        ({"max_tokens": 0}, "--max-tokens: makes no sense"),
        ({"prompt": "w9 " * 70}, "--prompt: cannot be read at once; got 72, need 1 to"),
    ],
)
def test_what_makes_no_sense_is_refused(
    writer: TextToText, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        writer.generate(**{"prompt": "w9", **wrong})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoder_start_token_id": 48}, "decoder_start_token_id makes no sense; got 48"),
        ({"suppress_tokens": [1.5]}, "suppress_tokens is no list of ids"),
        ({"bad_words_ids": [[]]}, "bad_words_ids is no list of words"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size makes no sense"),
        ({"encoder_repetition_penalty": 1.2}, "encoder_repetition_penalty is not supported"),
    ],
)
def test_rules_that_are_not_followed_are_refused(
    folder: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with pytest.raises(CheckpointError, match=message):
        loaded_text_to_text(with_words(copy, **settings))


def test_the_verb_writes_the_same(
    folder: Path, writer: TextToText, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--target-language", "w17", "--max-tokens", "6"]
    assert main(["generate", str(folder), "--prompt", "w9 w5", *flags]) == 0
    out, err = capsys.readouterr()
    assert out == writer.generate("w9 w5", target_language="w17", max_tokens=6) + "\n"
    assert err.startswith("6 tokens for 4 read, ")
