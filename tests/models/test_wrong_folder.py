"""A model folder that cannot be used: config.json, modules.json, and files that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inferstack.core.errors import CheckpointError, InputError, UnknownNameError
from inferstack.models.architecture import build
from inferstack.models.config_file import LARGEST_JSON_BYTES
from inferstack.models.hugging_face import load_checkpoint
from inferstack.models.scenario import Scenario

from .conftest import TinyCheckpoint

NEED_FOLDER = (
    "need a model folder with config.json, model.safetensors and tokenizer.json\n\n"
    "hint: `inferstack sample` fetches one"
)
TAKE_OTHER = "hint: take the config.json that belongs to the weights"


def message(folder: Path, *, seq_len: int = 8) -> str:
    """What the user reads when the folder is loaded; always one error with exit code 2."""
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder, seq_len=seq_len)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    assert message(tmp_path / "no") == f"{tmp_path}/no: does not exist; {NEED_FOLDER}"


def test_a_file_instead_of_a_folder_is_said(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert message(path) == f"{path}: is not a folder; {NEED_FOLDER}"


def test_a_name_that_no_system_takes_is_said(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300)
    assert message(path) == f"{path}: cannot be read; got File name too long"


def test_a_folder_without_config_is_said(tmp_path: Path) -> None:
    expected = f"{tmp_path}: has no config.json\n\nhint: is this the model's folder?"
    assert message(tmp_path) == expected


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is not JSON: Expecting value (line 1, column 1)"),
        (b"{'a': 1}", ("is not JSON: Expecting property name enclosed in double quotes "
         "(line 1, column 2)")),
        (b'{"a": 1', "is not JSON: Expecting ',' delimiter (line 1, column 8)"),
        (b"[1]", "is not a JSON object"),
        (b'{"a": "\xff"}', "is not UTF-8 text (byte 7)"),
        (b'{"hidden_size": 8, "hidden_size": 16}', ("names the key 'hidden_size' twice\n\n"
         "hint: keep one of the two; the other would be ignored")),
        (b"[" * 100_000, ("is not JSON that can be read: maximum recursion depth exceeded while "
         "decoding a JSON array from a unicode string")),
        (b" " * (LARGEST_JSON_BYTES + 1), ("is too large; got 1,048,577 bytes, need at most "
         "1,048,576")),
    ],
    ids=["empty", "quotes", "cut", "list", "latin-1", "duplicate", "deep", "large"],
)  # fmt: skip
def test_config_that_is_no_json_is_said(content: bytes, what: str, bert: TinyCheckpoint) -> None:
    path = bert.write() / "config.json"
    path.write_bytes(content)
    assert message(bert.folder) == f"{path}: {what}"


Edit = Callable[[dict[str, Any]], object]


def renamed(old: str, new: str) -> Edit:
    """The key `old` under the name `new`."""
    return lambda config: config.update({new: config.pop(old)})


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda c: c.pop("hidden_size"), f"lacks the key 'hidden_size'\n\n{TAKE_OTHER}"),
        (
            renamed("hidden_size", "hiden_size"),
            "lacks the key 'hidden_size'\n\nhint: is 'hiden_size' a misspelling of it?",
        ),
        (
            lambda c: c.update(is_decodr=True),
            (
                "has the unknown key 'is_decodr'; need 'is_decoder', or neither\n\n"
                "hint: a misspelt key would be ignored"
            ),
        ),
        (
            renamed("pad_token_id", "padd_token_id"),
            (
                "has the unknown key 'padd_token_id'; need 'pad_token_id', or neither\n\n"
                "hint: a misspelt key would be ignored"
            ),
        ),
        (
            lambda c: c.update(num_attention_heads=5),
            (
                "hidden_size is not a multiple of num_attention_heads; got hidden_size 32 and "
                "num_attention_heads 5, need heads of one whole width"
            ),
        ),
        (
            lambda c: c.update(hidden_size=-32),
            "hidden_size makes no sense; got -32, need a whole number from 1 to 65,536",
        ),
        (
            lambda c: c.update(hidden_size=0),
            "hidden_size makes no sense; got 0, need a whole number from 1 to 65,536",
        ),
        (
            lambda c: c.update(hidden_size=True),
            "hidden_size makes no sense; got true, need a whole number from 1 to 65,536",
        ),
        (
            lambda c: c.update(num_hidden_layers=10**30),
            (
                f"num_hidden_layers makes no sense; got 1{'0' * 30}, need a whole number from 1 to "
                "1,024"
            ),
        ),
        (
            lambda c: c.update(intermediate_size="48"),
            'intermediate_size makes no sense; got "48", need a whole number from 1 to 1,048,576',
        ),
        (
            lambda c: c.update(vocab_size=12.5),
            "vocab_size makes no sense; got 12.5, need a whole number from 1 to 16,777,216",
        ),
        (
            lambda c: c.update(max_position_embeddings=0),
            (
                "max_position_embeddings makes no sense; got 0, need a whole number from 1 to "
                "4,194,304"
            ),
        ),
        (
            lambda c: c.update(layer_norm_eps=float("nan")),
            "layer_norm_eps makes no sense; got NaN, need a number from 1e-20 to 1",
        ),
        (
            lambda c: c.update(layer_norm_eps=10**400),
            f"layer_norm_eps makes no sense; got 1{'0' * 56}..., need a number from 1e-20 to 1",
        ),
        (
            lambda c: c.update(hidden_act="geluu"),
            (
                'hidden_act is not supported; got "geluu", need one of gelu, gelu_fast, gelu_new, '
                "gelu_python, gelu_pytorch_tanh, quick_gelu, relu, relu2, silu, "
                "swish, tanh"
            ),
        ),
        (
            lambda c: c.update(position_embedding_type="relative_key"),
            'position_embedding_type is not supported; got "relative_key", need "absolute"',
        ),
        (
            lambda c: c.update(is_decoder=True),
            "is_decoder is not supported; got true, need false",
        ),
        (
            lambda c: c.update(pad_token_id=10**9),
            "pad_token_id makes no sense; got 1000000000, need a whole number from 0 to 20",
        ),
        (lambda c: c.pop("model_type"), f"lacks the key 'model_type'\n\n{TAKE_OTHER}"),
        (lambda c: c.update(model_type=["bert"]), 'model_type is not text; got ["bert"]'),
    ],
)
def test_config_that_makes_no_sense_is_said(edit: Edit, what: str, bert: TinyCheckpoint) -> None:
    edit(bert.config)
    bert.write()
    assert message(bert.folder) == f"{bert.folder}/config.json: {what}"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("brt", "'brt'"),
        ("rembert", "'rembert'"),
        ("gpt", "'gpt'"),
        ("\x1b[2J\ud800" + "x" * 99, "'\\\\x1b[2J\\\\ud800x"),
    ],
)
def test_no_type_that_would_read_another_model_is_suggested(
    name: str, shown: str, bert: TinyCheckpoint
) -> None:
    """Types that are alike in name have other weights: rembert has wider heads than bert."""
    bert.config["model_type"] = name
    with pytest.raises(UnknownNameError) as caught:
        bert.load()
    text = str(caught.value)
    assert text.startswith(f"{bert.folder}/config.json: unknown architecture; got {shown}")
    said, _, hint = text.partition("hint: ")
    assert len(said) < 300
    assert "did you mean" not in text
    assert hint.startswith("architectures known: albert, ")


def test_an_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        build("bert-bas", Scenario.encode(8))
    start = "model: unknown architecture; got 'bert-bas'\n\nhint: did you mean 'bert-base'? "
    assert str(caught.value).startswith(f"{start}architectures known: ")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_sequence_beyond_the_position_table_is_said(
    kind: str, request: pytest.FixtureRequest
) -> None:
    tiny: TinyCheckpoint = request.getfixturevalue(kind)
    longest = 20 if kind == "bert" else 18
    assert tiny.load(longest).graph.tensors["ids"].shape == (1, longest)
    assert message(tiny.folder, seq_len=longest + 1) == (
        f"model tiny: the sequence is longer than the position table; got {longest + 1} tokens, "
        f"need at most {longest}\n\n"
        f"hint: --seq-len {longest}, or a model trained on longer texts"
    )


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_files_stay_inside_the_folder(name: str, bert: TinyCheckpoint, tmp_path: Path) -> None:
    path = bert.write() / name
    outside = path.rename(tmp_path / name)
    path.symlink_to(outside)
    assert message(bert.folder) == (
        f"{path}: leads out of the model folder; got {outside}\n\n"
        "hint: put the file itself into the folder"
    )
    path.unlink()
    path.symlink_to(path)
    assert message(bert.folder) == f"{path}: is a link to nothing"
    path.unlink()
    path.mkdir()
    assert message(bert.folder) == f"{path}: is not a file"


def test_a_snapshot_of_the_hub_may_link_to_its_blobs(bert: TinyCheckpoint, tmp_path: Path) -> None:
    """models--x/snapshots/<commit>/config.json -> ../../blobs/<hash>."""
    blobs = tmp_path / "models--x" / "blobs"
    blobs.mkdir(parents=True)
    bert.folder = tmp_path / "models--x" / "snapshots" / "0123"
    for path in sorted(bert.write().iterdir()):
        path.rename(blobs / path.name)
        path.symlink_to(Path("..", "..", "blobs", path.name))
    assert load_checkpoint(bert.folder, seq_len=8).name == "0123"


MODULES = [
    {"type": "sentence_transformers.models.Transformer", "path": ""},
    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"},
]
POOLING = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}


def with_modules(tiny: TinyCheckpoint, modules: object, pooling: object) -> Path:
    """The folder as a sentence encoder's."""
    folder = tiny.write()
    folder.joinpath("modules.json").write_text(json.dumps(modules), encoding="utf-8")
    folder.joinpath("1_Pooling").mkdir()
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps(pooling), encoding="utf-8")
    return folder


TYPES_5 = (
    "sentence_transformers.base.modules.transformer.Transformer",
    "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "sentence_transformers.base.modules.normalize.Normalize",
)
MODULES_5 = [m | {"type": kind} for m, kind in zip(MODULES, TYPES_5, strict=True)]


@pytest.mark.parametrize("mode", ["mean", ["mean"]])
def test_folders_of_sentence_transformers_5_are_read(mode: object, bert: TinyCheckpoint) -> None:
    pooling = {"embedding_dimension": 32, "pooling_mode": mode, "include_prompt": True}
    checkpoint = load_checkpoint(with_modules(bert, MODULES_5, pooling), seq_len=8)
    assert checkpoint.pooling.normalize


@pytest.mark.parametrize(
    ("pooling", "what"),
    [
        ({"pooling_mode": "first"}, "this pooling is not supported; got first, need some of cls,"),
        ({"pooling_mode": "mean+most"}, "this pooling is not supported; got most, need some of"),
        ({"pooling_mode": []}, "pooling_mode is no name; got []"),
        ({"pooling_mode_cls": True}, "has the unknown key 'pooling_mode_cls'; need one of"),
        ({"pooling_mode": 3}, "pooling_mode is no name; got 3"),
        ({"pooling_mod": "mean"}, "has the unknown key 'pooling_mod'; need 'pooling_mode', or"),
        (
            {"pooling_mode": "mean", "embedding_dimension": 31},
            "embedding_dimension is not the hidden size of config.json; got 31, need 32",
        ),
    ],
)
def test_other_poolings_of_sentence_transformers_5_are_said(
    pooling: object, what: str, bert: TinyCheckpoint
) -> None:
    folder = with_modules(bert, MODULES_5, pooling)
    assert message(folder).startswith(f"{folder}/1_Pooling/config.json: {what}")


@pytest.mark.parametrize(("count", "normalize"), [(2, False), (3, True)])
def test_pooling_follows_the_modules(count: int, normalize: bool, bert: TinyCheckpoint) -> None:
    folder = with_modules(bert, MODULES[:count], POOLING)
    checkpoint = load_checkpoint(folder, seq_len=8)
    assert checkpoint.pooling.normalize is normalize
    assert checkpoint.graph.operators[-1].attributes == {"normalize": normalize}


@pytest.mark.parametrize(
    ("modules", "pooling", "what"),
    [
        ({}, POOLING, "modules.json: is not a list of modules"),
        (
            MODULES[:1],
            POOLING,
            (
                "modules.json: these modules are not supported; got Transformer, need Transformer, "
                "Pooling, optionally Dense layers, optionally Normalize"
            ),
        ),
        (
            [MODULES[0], MODULES[1] | {"path": "../../etc"}],
            POOLING,
            "modules.json: a module's path leads out of the model folder; got ../../etc",
        ),
        (
            [MODULES[0], MODULES[1] | {"path": "/etc"}],
            POOLING,
            "modules.json: a module's path leads out of the model folder; got /etc",
        ),
        (
            [MODULES[0], MODULES[1] | {"path": "\ud800\0"}],
            POOLING,
            "modules.json: a module's path is no file name; got \\ud800\\x00",
        ),
        (
            [MODULES[0], MODULES[1] | {"path": "elsewhere"}],
            POOLING,
            "elsewhere/config.json: does not exist, but modules.json names it",
        ),
        (
            MODULES,
            {"pooling_mode": "first"},
            (
                "1_Pooling/config.json: this pooling is not supported; got first, "
                "need some of cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken"
            ),
        ),
        (
            MODULES,
            POOLING | {"word_embedding_dimension": 64},
            (
                "1_Pooling/config.json: word_embedding_dimension is not the hidden size of "
                "config.json; got 64, need 32"
            ),
        ),
    ],
)
def test_wrong_modules_are_said(
    modules: object, pooling: object, what: str, bert: TinyCheckpoint
) -> None:
    folder = with_modules(bert, modules, pooling)
    assert message(folder) == f"{folder}/{what}"


def test_lower_case_that_would_be_ignored_is_refused(bert: TinyCheckpoint) -> None:
    path = bert.write() / "sentence_bert_config.json"
    path.write_text('{"do_lower_case": true}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="do_lower_case is not supported; got true, need"):
        load_checkpoint(bert.folder, seq_len=8)
