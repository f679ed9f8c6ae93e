"""Texts that a decoder writes: as transformers writes them, and where they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inferstack as ist
from inferstack.api.decoder import Decoder, loaded_decoder
from inferstack.core.errors import CheckpointError, InputError
from inferstack.generate.text import Ending
from inferstack.testing.checkpoints import tiny_bert, tiny_llama

PROMPT = "the cat"
TOKENS = 40


@pytest.mark.filterwarnings("ignore")
def test_the_likeliest_text_is_that_of_transformers(folder: Path, decoder: Decoder) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    prompt = decoder.tokenizer.encode(PROMPT)
    with torch.no_grad():
        theirs = model.generate(
            torch.tensor([prompt]), max_new_tokens=TOKENS, do_sample=False, eos_token_id=2,
            pad_token_id=1,
        )[0].tolist()  # fmt: skip
    ours = decoder.stream(PROMPT, max_tokens=TOKENS)
    text = "".join(ours)
    assert [*prompt, *ours.ids] == theirs
    assert text == decoder.tokenizer.decode(ours.ids)
    assert ist.load(folder).generate(PROMPT, max_tokens=TOKENS) == text


def test_a_text_ends_at_its_length_or_with_the_positions(tmp_path: Path) -> None:
    made = tiny_llama(tmp_path / "endless")
    made.config["eos_token_id"] = None
    decoder = loaded_decoder(made.write())
    for asked, written in ((1, 1), (7, 7), (10_000, 64 - 6)):
        text = decoder.stream(PROMPT, max_tokens=asked, temperature=1.0, top_k=5)
        assert len(text.prompt) == 6
        list(text)
        assert text.ending is Ending.LENGTH
        assert len(text.ids) == written


def test_a_text_ends_with_its_end_token(tmp_path: Path, decoder: Decoder) -> None:
    plain = decoder.stream(PROMPT, max_tokens=TOKENS)
    list(plain)
    made = tiny_llama(tmp_path / "ends")
    last = next(token for token in plain.ids if plain.ids.index(token) >= 3)
    made.config["eos_token_id"] = [2, last]
    ending = loaded_decoder(made.write()).stream(PROMPT, max_tokens=TOKENS)
    text = "".join(ending)
    assert ending.ending is Ending.TOKEN
    assert ending.ids == plain.ids[: plain.ids.index(last) + 1]
    assert text == decoder.tokenizer.decode(ending.ids[:-1])


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_stop_string_ends_the_text_and_never_shows(decoder: Decoder, length: int) -> None:
    whole = decoder.generate(PROMPT, max_tokens=TOKENS)
    for at in range(0, len(whole) - length, 3):
        stop = whole[at : at + length]
        stream = decoder.stream(PROMPT, max_tokens=TOKENS, stop=["never there", stop])
        pieces = list(stream)
        assert "".join(pieces) == whole[: whole.index(stop)]
        assert stream.ending is Ending.STOP


def test_what_only_begins_a_stop_string_is_not_lost(decoder: Decoder) -> None:
    whole = decoder.generate(PROMPT, max_tokens=TOKENS)
    stops = [whole[-3:] + "x", whole[4:8] + "\0"]
    assert decoder.generate(PROMPT, max_tokens=TOKENS, stop=stops) == whole


def test_pieces_come_one_by_one(decoder: Decoder) -> None:
    stream = decoder.stream(PROMPT, max_tokens=TOKENS)
    next(iter(stream))
    assert len(stream.ids) < TOKENS


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_tokens": 0}, "--max-tokens: makes no sense"),
        ({"max_tokens": 1.5}, "--max-tokens: is no whole number"),
        ({"stop": ""}, "--stop: makes no sense"),
        ({"stop": [""]}, "--stop: makes no sense"),
        ({"stop": "text"}, "--stop: makes no sense"),
        ({"prompt": "x" * 63}, "--prompt: leaves no room to go on"),
        ({"prompt": 5}, "tokenizer: this is no text"),
        ({"temperature": -1}, "--temperature: makes no sense"),
        ({"chat": True}, "no chat template"),
    ],
)
def test_what_makes_no_sense_is_refused(
    decoder: Decoder, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        decoder.generate(**{"prompt": PROMPT, **wrong})


def test_a_prompt_without_tokens_is_refused(tmp_path: Path) -> None:
    made = tiny_llama(tmp_path / "bare")
    made.tokenizer["post_processor"] = None
    with pytest.raises(InputError, match="--prompt: has no tokens"):
        loaded_decoder(made.write()).generate("")


def test_a_chat_puts_the_message_into_the_template(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "chat").write()
    config = {"chat_template": "<s>{{ messages[0].role }}: {{ messages[0].content }}\nmodel:"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    decoder = loaded_decoder(folder)
    stream = decoder.stream("the cat", chat=True)
    assert decoder.tokenizer.decode(stream.prompt) == "user: the cat\nmodel:"
    assert list(stream.prompt).count(0) == 1


def test_an_encoder_does_not_continue_texts(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model that continues a text"):
        loaded_decoder(tiny_bert(tmp_path / "bert").write())
    with pytest.raises(InputError, match="a named model without weights"):
        ist.load("gpt2").decoder()
