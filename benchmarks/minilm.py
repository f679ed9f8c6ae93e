"""all-MiniLM-L6-v2 as a graph, for benchmarks of compression alone.

Stands in for `inferstack.models`: replace both functions by its loader once that is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Graph, TensorRole
from inferstack.ops.builder import GraphBuilder

INPUTS = ("ids", "token_type_ids", "mask")


class Bert:
    """Builds the encoder of a Hugging Face BERT folder."""

    def __init__(self, folder: Path, tokens: int) -> None:
        from safetensors.numpy import load_file

        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.values = load_file(folder / "model.safetensors")
        self.builder = GraphBuilder(folder.name)
        for name in INPUTS:
            self.builder.tensor(name, (1, tokens), DType.INT64, TensorRole.INPUT)

    def weight(self, name: str, transpose: bool = False) -> str:
        """Declare a weight of the checkpoint."""
        data = np.ascontiguousarray(self.values[name].T if transpose else self.values[name])
        return self.builder.tensor(name, data.shape, DType.FLOAT32, TensorRole.WEIGHT, data)

    def dense(self, name: str, x: str) -> str:
        """x W^T + b."""
        inputs = {"a": x, "b": self.weight(f"{name}.weight", True)}
        return self.builder.add("matmul", name, {**inputs, "bias": self.weight(f"{name}.bias")})

    def norm(self, name: str, x: str) -> str:
        """LayerNorm."""
        inputs = {
            "x": x,
            "gamma": self.weight(f"{name}.weight"),
            "beta": self.weight(f"{name}.bias"),
        }
        epsilon = float(self.config["layer_norm_eps"])
        return self.builder.add("layernorm", name, inputs, {"epsilon": epsilon})

    def embeddings(self) -> str:
        """Words, types and positions, summed and normalised."""
        add, sums = self.builder.add, []
        for kind, slot in (("word", "ids"), ("token_type", "token_type_ids"), ("position", "ids")):
            table = self.weight(f"embeddings.{kind}_embeddings.weight")
            rule = "position_embedding" if kind == "position" else "embedding"
            attributes = {"padding_id": -1} if kind == "position" else {}
            sums.append(add(rule, f"embeddings.{kind}", {"table": table, "ids": slot}, attributes))
        x = add("add", "embeddings.sum_types", {"a": sums[0], "b": sums[1]})
        x = add("add", "embeddings.sum_positions", {"a": x, "b": sums[2]})
        return self.norm("embeddings.LayerNorm", x)

    def layer(self, name: str, x: str) -> str:
        """One encoder layer."""
        add, count = self.builder.add, int(self.config["num_attention_heads"])
        heads = {"heads": count, "kv_heads": count}
        scale = (int(self.config["hidden_size"]) // count) ** -0.5
        query, key, value = (
            self.dense(f"{name}.attention.self.{part}", x) for part in ("query", "key", "value")
        )
        operands = {"query": query, "key": key}
        scores = add("attention_scores", f"{name}.scores", operands, {**heads, "scale": scale})
        operands = {"x": scores, "mask": "mask"}
        probabilities = add("softmax", f"{name}.softmax", operands, {"causal": False})
        operands = {"probabilities": probabilities, "value": value}
        context = add("attention_context", f"{name}.context", operands, heads)
        output = self.dense(f"{name}.attention.output.dense", context)
        total = add("add", f"{name}.attention.add", {"a": output, "b": x})
        x = self.norm(f"{name}.attention.output.LayerNorm", total)
        inner = self.dense(f"{name}.intermediate.dense", x)
        active = add("gelu", f"{name}.gelu", {"x": inner}, {"approximate": "none"})
        outer = self.dense(f"{name}.output.dense", active)
        total = add("add", f"{name}.add", {"a": outer, "b": x})
        return self.norm(f"{name}.output.LayerNorm", total)


def load_graph(folder: Path, tokens: int) -> Graph:
    """Ids, token types and mask (batch, tokens) -> normalised mean-pooled embeddings."""
    bert = Bert(folder, tokens)
    x = bert.embeddings()
    for index in range(int(bert.config["num_hidden_layers"])):
        x = bert.layer(f"encoder.layer.{index}", x)
    bert.builder.add("mean_pool", "embedding", {"x": x, "mask": "mask"}, {"normalize": True})
    return bert.builder.build(("embedding",))


def tokenize(folder: Path, sentences: list[str], tokens: int) -> dict[str, Any]:
    """Arrays (sentences, tokens) by input, padded with 0."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(tokens)
    tokenizer.enable_padding(length=tokens)
    encoded = tokenizer.encode_batch(sentences)
    columns = ([e.ids for e in encoded], [e.type_ids for e in encoded])
    masks = [e.attention_mask for e in encoded]
    arrays = [np.array(values, dtype=np.int64) for values in (*columns, masks)]
    return dict(zip(INPUTS, arrays, strict=True))
