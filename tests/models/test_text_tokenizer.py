"""Text to ids and back for decoders, token by token, and chat templates."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from inferstack.core.errors import CheckpointError, DataError
from inferstack.models.text_tokenizer import TextStream, TextTokenizer, load_text_tokenizer

TEXTS = (
    "",
    "A cat sat on the mat.",
    " leading and trailing ",
    "日本語の文 and 한국어, naïve ﬁancée",
    "👩‍👩‍👧‍👦 emoji 🏳️‍🌈 \ufffd and ☃\n\ttabs",
)
CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_level() -> Tokenizer:
    """A small BPE over bytes, as GPT-2's: most characters beyond ASCII are several tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>"],
    )
    made.train_from_iterator(["the cat sat on the mat and that"], trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return made


def sentence_piece() -> Tokenizer:
    """Words that carry their space in front, with bytes for the rest, as Llama's."""
    words = ["<unk>", *(f"<0x{n:02X}>" for n in range(256)), "▁", "▁the", "▁cat", "s", "a", "t"]
    made = Tokenizer(
        models.BPE({w: n for n, w in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True)
    )
    made.add_tokens([AddedToken("▁the"), AddedToken("▁cat")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return made


def folder_of(folder: Path, tokenizer: Tokenizer, **files: Any) -> Path:
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def loaded(folder: Path, **files: Any) -> TextTokenizer:
    return load_text_tokenizer(folder_of(folder, byte_level(), **files), 300)


@pytest.mark.parametrize("make", [byte_level, sentence_piece])
@pytest.mark.parametrize("text", TEXTS)
def test_what_streams_is_the_whole_text(tmp_path: Path, make: Any, text: str) -> None:
    tokenizer = load_text_tokenizer(folder_of(tmp_path, make()), 400)
    ids = tokenizer.encode(text)
    stream = TextStream(tokenizer)
    pieces = [stream.push(token) for token in ids]
    end = stream.finish()
    assert "".join(pieces) + end == tokenizer.decode(ids)
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)
    if make is byte_level:
        assert tokenizer.decode(ids) == text


def test_a_character_that_never_ends_leaves_at_the_end(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path)
    ids = tokenizer.encode("a😀", special=False)
    stream = TextStream(tokenizer)
    assert [stream.push(token) for token in ids[:-1]] == ["a", "", "", ""]
    assert stream.finish() == "\ufffd"


def test_bytes_that_are_no_character_do_not_wait_for_ever(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path)
    broken = tokenizer.encode("😀", special=False)[-1]
    stream = TextStream(tokenizer)
    assert "".join(stream.push(broken) for _ in range(8)) == "\ufffd" * 8


def test_special_tokens_are_added_and_left_out(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path)
    assert tokenizer.encode("cat")[0] == 0
    assert tokenizer.encode("cat", special=False) == tokenizer.encode("cat")[1:]
    assert tokenizer.decode(tokenizer.encode("cat")) == "cat"


@pytest.mark.parametrize(
    ("files", "ends"),
    [
        ({}, set()),
        ({"config": {"eos_token_id": 1}}, {1}),
        ({"config": {"eos_token_id": 1}, "generation_config": {"eos_token_id": [2, 3]}}, {2, 3}),
        ({"config": {"eos_token_id": 1}, "generation_config": {}}, {1}),
        ({"config": {"eos_token_id": None}}, set()),
    ],
)
def test_where_a_text_ends(tmp_path: Path, files: dict[str, Any], ends: set[int]) -> None:
    assert loaded(tmp_path, **files).end_ids == ends


@pytest.mark.parametrize("wrong", [300, -2, "</s>", [1, True], 1.5, {}])
def test_an_end_that_is_no_id_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(CheckpointError, match="eos_token_id makes no sense"):
        loaded(tmp_path, config={"eos_token_id": wrong})


def test_ids_beyond_the_table_are_refused(tmp_path: Path) -> None:
    tokenizer = load_text_tokenizer(folder_of(tmp_path, byte_level()), 50)
    with pytest.raises(CheckpointError, match="ids that the embedding table lacks"):
        tokenizer.encode("a cat")


def test_half_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text"):
        loaded(tmp_path).encode("\ud83d")


@pytest.mark.parametrize("place", ["text", "named", "file"])
def test_a_chat_template_writes_the_conversation(tmp_path: Path, place: str) -> None:
    config: dict[str, Any] = {"eos_token": {"content": "</s>"}}
    if place == "text":
        config["chat_template"] = CHATML
    elif place == "named":
        config["chat_template"] = [
            {"name": "tool_use", "template": "x"},
            {"name": "default", "template": CHATML},
        ]
    else:
        config["chat_template"] = "not this one"
        (tmp_path / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    tokenizer = loaded(tmp_path, tokenizer_config=config)
    assert tokenizer.chat is not None
    text = "<|user|>Hi\n<|assistant|>"
    assert tokenizer.chat.render([{"role": "user", "content": "Hi"}]) == text.replace(
        "Hi", "Hi</s>"
    )
    assert tokenizer.decode(tokenizer.encode_chat("Hi")) == text


def test_a_chat_is_what_transformers_makes_of_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    template = (
        "{%- for m in messages -%}\n    {%- if m.role == 'user' %}\nU: {{ m.content | trim }}\n"
        "    {%- else -%}{% continue %}{%- endif %}\n{%- endfor %}\n{{ bos_token }}"
        "{% set ns = namespace(n=2) %}{{ ns.n * 3 }} {{ messages | tojson }}"
    )
    tokenizer = loaded(tmp_path, tokenizer_config={"chat_template": template, "bos_token": "<s>"})
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_level(), bos_token="<s>", chat_template=template
    )
    messages = [{"role": "user", "content": " <b>é</b> "}]
    assert tokenizer.chat is not None
    expected = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert tokenizer.chat.render(messages) == expected


def test_without_a_template_there_is_no_chat(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no chat template"):
        loaded(tmp_path).encode_chat("Hi")


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% for a in range(10**9) %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{% for a in range(99999) %}{{ messages[0].content }}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{{ unclosed",
        "{{ messages[7].content }}",
    ],
)
def test_a_template_that_goes_too_far_is_one_error(tmp_path: Path, template: str) -> None:
    tokenizer = loaded(tmp_path, tokenizer_config={"chat_template": template})
    with pytest.raises(CheckpointError, match="the chat template fails") as raised:
        tokenizer.encode_chat("x" * 64)
    assert len(str(raised.value)) < 1000
    assert sys.getrecursionlimit() >= 1000


def test_a_template_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="chat_template is no text"):
        loaded(tmp_path, tokenizer_config={"chat_template": 5})


def test_a_special_token_inside_takes_no_space_away(tmp_path: Path) -> None:
    """Of a decoder that puts a space in front of every word but the first."""
    words = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "cat": 2}, unk_token="<s>"))
    words.add_special_tokens(["<s>"])
    tokenizer = load_text_tokenizer(folder_of(tmp_path, words), 400)
    ids = [1, 0, 0, 2, 0, 1]
    stream = TextStream(tokenizer)
    assert "".join([*map(stream.push, ids), stream.finish()]) == tokenizer.decode(ids) == "a cat a"
