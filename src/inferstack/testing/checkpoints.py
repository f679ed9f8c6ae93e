"""Tiny checkpoints with random weights, BERT, RoBERTa, Llama: model folders in milliseconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.models.hugging_face import Checkpoint, load_checkpoint

Array = npt.NDArray[Any]

HIDDEN, HEADS, INNER, LAYERS, POSITIONS = 32, 4, 48, 2, 20
WORDS = [
    "a",
    "cat",
    "dog",
    "sat",
    "on",
    "the",
    "mat",
    "and",
    "ran",
    "very",
    "far",
    "##s",
    "##ing",
    "play",
    ",",
    ".",
    "!",
]
LONGEST = 18
"""Tokens that both tables are long enough for: RoBERTa leaves its first two rows unused."""


@dataclass(kw_only=True)
class TinyCheckpoint:
    """What stands in a model folder; who uses it changes it and writes it."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Array]
    tokenizer: dict[str, Any]

    def write(self) -> Path:
        """The three files."""
        from safetensors.numpy import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.joinpath("config.json").write_text(json.dumps(self.config), encoding="utf-8")
        self.folder.joinpath("tokenizer.json").write_text(
            json.dumps(self.tokenizer), encoding="utf-8"
        )
        save_file(self.tensors, self.folder / "model.safetensors", metadata={"format": "pt"})
        return self.folder

    def load(self, seq_len: int = LONGEST) -> Checkpoint:
        """Written, and read by us."""
        return load_checkpoint(self.write(), seq_len=seq_len)


def shapes(vocabulary: int, token_types: int) -> dict[str, tuple[int, ...]]:
    """Shapes by the names that transformers gives to the tensors of either model."""
    square, wide, narrow = (HIDDEN, HIDDEN), (INNER, HIDDEN), (HIDDEN, INNER)
    dense = {
        "attention.self.query": square,
        "attention.self.key": square,
        "attention.self.value": square,
        "attention.output.dense": square,
        "intermediate.dense": wide,
        "output.dense": narrow,
    }
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (token_types, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        place = f"encoder.layer.{layer}"
        for module, shape in dense.items():
            found[f"{place}.{module}.weight"] = shape
            found[f"{place}.{module}.bias"] = shape[:1]
        norms += [f"{place}.attention.output.LayerNorm", f"{place}.output.LayerNorm"]
    for norm in norms:
        found[f"{norm}.weight"] = found[f"{norm}.bias"] = (HIDDEN,)
    return found


def random_tensors(vocabulary: int, token_types: int, seed: int) -> dict[str, Array]:
    """Float32 values; wide enough that every operator matters to the result."""
    return _drawn(shapes(vocabulary, token_types), seed)


def _drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(float("norm.weight" in name.lower()), 0.3, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def config(model_type: str, vocabulary: int, token_types: int, padding: int) -> dict[str, Any]:
    """config.json with what we read, and one thing that we do not."""
    return {
        "model_type": model_type,
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "vocab_size": vocabulary,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": token_types,
        "layer_norm_eps": 1e-5,
        "hidden_act": "gelu",
        "pad_token_id": padding,
        "attention_probs_dropout_prob": 0.1,
    }


def word_tokenizer() -> dict[str, Any]:
    """BERT's kind: lower-cased words in pieces."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    tokenizer = Tokenizer(models.WordPiece(vocab={w: i for i, w in enumerate(words)}))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(words[:4])
    return dict(json.loads(tokenizer.to_str()))


def byte_tokenizer() -> dict[str, Any]:
    """RoBERTa's kind: bytes and a few merges of them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    merges = [("c", "a"), ("ca", "t"), ("Ġ", "t"), ("Ġt", "h")]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*special, *letters, *(a + b for a, b in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.add_special_tokens(special)
    return dict(json.loads(tokenizer.to_str()))


def tiny_bert(folder: Path) -> TinyCheckpoint:
    """BERT, whose sentences have types and whose padding is 0."""
    vocabulary = len(WORDS) + 4
    return TinyCheckpoint(
        folder=folder,
        config=config("bert", vocabulary, 2, 0),
        tensors=random_tensors(vocabulary, 2, seed=1),
        tokenizer=word_tokenizer(),
    )


def tiny_roberta(folder: Path) -> TinyCheckpoint:
    """RoBERTa, whose positions start behind its padding id, 1."""
    vocabulary = 4 + 256 + 4
    return TinyCheckpoint(
        folder=folder,
        config=config("roberta", vocabulary, 1, 1),
        tensors=random_tensors(vocabulary, 1, seed=2),
        tokenizer=byte_tokenizer(),
    )


def tiny_llama(folder: Path, positions: int = 64) -> TinyCheckpoint:
    """A decoder with grouped queries; a text begins with id 0 and ends with id 2."""
    vocabulary, kv_heads = 4 + 256 + 4, HEADS // 2
    narrow = (HIDDEN // HEADS * kv_heads, HIDDEN)
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": narrow,
        "self_attn.v_proj": narrow,
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (INNER, HIDDEN),
        "mlp.up_proj": (INNER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER),
        "input_layernorm": (HIDDEN,),
        "post_attention_layernorm": (HIDDEN,),
    }
    stored = {
        f"model.layers.{number}.{module}.weight": shape
        for number in range(LAYERS)
        for module, shape in layer.items()
    }
    stored["model.embed_tokens.weight"] = (vocabulary, HIDDEN)
    stored["model.norm.weight"] = (HIDDEN,)
    tokenizer = byte_tokenizer()
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [begin, first],
        "pair": [begin, first, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
    }
    tokenizer["decoder"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return TinyCheckpoint(
        folder=folder,
        config={
            "model_type": "llama",
            "hidden_size": HIDDEN,
            "num_attention_heads": HEADS,
            "num_key_value_heads": kv_heads,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "vocab_size": vocabulary,
            "max_position_embeddings": positions,
            "rms_norm_eps": 1e-5,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        tensors=_drawn(stored, seed=3),
        tokenizer=tokenizer,
    )
