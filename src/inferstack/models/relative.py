"""Scores of distances beside those of contents: disentangled (DeBERTa), of sinusoids (XLNet)."""

from __future__ import annotations

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
        """The scores of query and key, of distances, and of segments."""
        hidden, wide = self.description.hidden, of.heads * of.width
        content, distance, segment = (
            self.add(
                "add",
                f"{name}.{part}_query",
                {"a": query, "b": self.weight(f"{name}.{part}.bias", wide)},
            )
            for part in ("content", "distance", "segment")
        )
        scores = self._by_row(name, of, "content", content, key)
        rows = self.dense(
            f"{name}.position_key", self._sinusoids(), hidden, wide, PROJECTION, bias=False
        )
        inputs = {"x": scores, "by_row": self._by_row(name, of, "distance", distance, rows)}
        scores = self.add("distance_scores", f"{name}.with_distances", inputs, {"ahead": True})
        rows = self.weight(f"{name}.segments.weight", 2, wide)
        rows = self._spread(f"{name}.segments_spread", rows, query)
        inputs = {
            "x": scores,
            "by_row": self._by_row(name, of, "segment", segment, rows),
            "types": "token_type_ids",
        }
        return self.add("segment_scores", f"{name}.with_segments", inputs)

    def _sinusoids(self) -> str:
        """Those of all distances, once."""
        if "sinusoids" in self.builder.tensors:
            return "sinusoids"
        repeats, self.repeats = self.repeats, 1
        says = {"width": self.description.hidden}
        made = self.add("sinusoids", "sinusoids", {"like": "ids"}, says)
        self.repeats = repeats
        return made
