"""Scores of distances beside those of contents: attention that is disentangled (DeBERTa)."""

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
                made = self.by_row(name, of, f"position_{slot}", operand, made)
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

    def by_row(self, name: str, of: Attention, what: str, operand: str, rows: str) -> str:
        """The scores of each token of `operand` (batch, tokens, d) with `rows` (rows, d)."""
        spread = self.add("spread_batch", f"{name}.{what}_spread", {"x": rows, "like": operand})
        scale = of.width**-0.5 if of.scale is None else of.scale
        numbers = {"heads": of.heads, "kv_heads": of.heads, "scale": scale}
        inputs = {"query": operand, "key": spread}
        return self.add(
            "attention_scores", f"{name}.{what}_scores", inputs, numbers, part=ATTENTION
        )
