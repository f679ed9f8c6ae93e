"""Scores of distances beside those of contents: disentangled (DeBERTa), or of sinusoids (XLNet,
conformers)."""

from __future__ import annotations

from inferstack.core.dtypes import DType
from inferstack.ir.graph import TensorRole
from inferstack.models.blocks import ATTENTION, PROJECTION
from inferstack.models.described import DescribedBuilder
from inferstack.models.description import Attention, Disentangled


class RelativeBlock(DescribedBuilder):
    """Adds to the scores of query and key those of each with the distance between them."""

    def disentangled(self, name: str, of: Attention, scores: str, query: str, key: str) -> str:
        """`scores` with those of positions added."""
        relative = of.disentangled
        assert relative is not None, "asked for where there is one"
        table = self._table(relative)
        for slot, asked, operand in (
            ("key", relative.to_position, query),
            ("query", relative.from_position, key),
        ):
            if asked:
                made = self._projected(name, of, slot, table)
                spread = f"{name}.position_{slot}_spread"
                made = self._spread(spread, made, operand, near=relative.near)
                made = self._by_row(name, of, f"position_{slot}", operand, made)
                attributes: dict[str, int | bool] = {"of_keys": slot == "query"}
                if relative.buckets:
                    attributes["buckets"] = relative.buckets
                    attributes["longest"] = relative.longest
                inputs = {"x": scores, "by_row": made}
                scores = self.add(
                    "distance_scores", f"{name}.with_{slot}_distances", inputs, attributes
                )
        return scores

    def _table(self, relative: Disentangled) -> str:
        """One for all layers, behind its norm."""
        table = self.weight("relative", relative.rows, self.description.hidden)
        if relative.norm is None:
            return table
        if "relative.norm" in self.builder.tensors:
            return "relative.norm"
        repeats, self.repeats = self.repeats, 1
        table = self.norm("relative.norm", relative.norm, table)
        self.repeats = repeats
        return table

    def _projected(self, name: str, of: Attention, slot: str, table: str) -> str:
        """The distances as keys, or as queries."""
        assert of.disentangled is not None, "asked for where there is one"
        hidden, wide = self.description.hidden, of.heads * of.width
        own = slot if of.disentangled.shared else f"position_{slot}"
        inputs = {"a": table, "b": self.weight(f"{name}.{own}.weight", hidden, wide)}
        if slot == "query" or of.disentangled.key_bias:
            inputs["bias"] = self.weight(f"{name}.{own}.bias", wide)
        return self.add("matmul", f"{name}.position_{slot}", inputs, part=PROJECTION)

    def _spread(self, name: str, rows: str, like: str, *, near: bool = False) -> str:
        return self.add("spread_batch", name, {"x": rows, "like": like}, {"near": near})

    def _by_row(self, name: str, of: Attention, what: str, operand: str, rows: str) -> str:
        """The scores of each token of `operand` (batch, tokens, d) with `rows` (batch, rows, d)."""
        scale = of.width**-0.5 if of.scale is None else of.scale
        numbers = {"heads": of.heads, "kv_heads": of.heads, "scale": scale}
        inputs = {"query": operand, "key": rows}
        return self.add(
            "attention_scores", f"{name}.{what}_scores", inputs, numbers, part=ATTENTION
        )

    def with_sinusoids(self, name: str, of: Attention, query: str, key: str) -> str:
        """The scores of query and key, of distances, and of segments where there are some."""
        content = self._biased(name, "content", of, query)
        distance = self._biased(name, "distance", of, query)
        scores = self._by_row(name, of, "content", content, key)
        rows = self._distances(name, of, query)
        inputs = {"x": scores, "by_row": self._by_row(name, of, "distance", distance, rows)}
        scores = self.add("distance_scores", f"{name}.with_distances", inputs, {"ahead": True})
        if not of.segments:
            return scores
        segment = self._biased(name, "segment", of, query)
        rows = self.weight(f"{name}.segments.weight", 2, of.heads * of.width)
        rows = self._spread(f"{name}.segments_spread", rows, query)
        inputs = {
            "x": scores,
            "by_row": self._by_row(name, of, "segment", segment, rows),
            "types": "token_type_ids",
        }
        return self.add("segment_scores", f"{name}.with_segments", inputs)

    def _biased(self, name: str, part: str, of: Attention, query: str) -> str:
        bias = self.weight(f"{name}.{part}.bias", of.heads * of.width)
        return self.add("add", f"{name}.{part}_query", {"a": query, "b": bias})

    def _distances(self, name: str, of: Attention, query: str) -> str:
        """Those of all pairs, as keys."""
        hidden, wide = self.description.hidden, of.heads * of.width
        table = self._sinusoids() if of.segments else self._sinusoid_table()
        rows = self.dense(f"{name}.position_key", table, hidden, wide, PROJECTION, bias=False)
        return rows if of.segments else self._spread(f"{name}.position_key_spread", rows, query)

    def _sinusoids(self) -> str:
        """Those of all distances, once."""
        if "sinusoids" in self.builder.tensors:
            return "sinusoids"
        repeats, self.repeats = self.repeats, 1
        says = {"width": self.description.hidden}
        made = self.add("sinusoids", "sinusoids", {"like": "ids"}, says)
        self.repeats = repeats
        return made

    def _sinusoid_table(self) -> str:
        """Sine and cosine by turns, of every distance there is, (2 tokens - 1, d), once.

        Source: Gulati et al. 2020, arXiv:2005.08100; transformers, models/wav2vec2_conformer.
        """
        import numpy as np

        name, tokens, width = "distances", self.scenario.new_tokens, self.description.hidden
        if name in self.builder.tensors:
            return name
        distances = np.arange(tokens - 1, -tokens, -1)[:, None]
        angles = distances * 10_000.0 ** -(np.arange(0, width, 2) / width)
        table = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(-1, width)
        data = table.astype(np.float32)
        self.builder.shared.add(name)
        return self.builder.tensor(name, data.shape, DType.FLOAT32, TensorRole.CONSTANT, data)
