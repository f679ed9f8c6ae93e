"""Self-attention as a `description.Attention` says."""

from __future__ import annotations

from inferstack.models.blocks import ATTENTION, OTHER, PROJECTION
from inferstack.models.described import DescribedBuilder
from inferstack.models.description import Attention
from inferstack.models.rotary import Rotary


class AttentionBlock(DescribedBuilder):
    """Projections, positions, scores, softmax, context."""

    def attention(self, name: str, of: Attention, x: str) -> str:
        """Attention of all heads and its output projection."""
        hidden = self.description.hidden
        wide, narrow = of.heads * of.width, of.kv_heads * of.width
        key_bias = of.bias if of.key_bias is None else of.key_bias
        query = self.dense(f"{name}.query", x, hidden, wide, PROJECTION, bias=of.bias)
        key = self.dense(f"{name}.key", x, hidden, narrow, PROJECTION, bias=key_bias)
        value = self.dense(f"{name}.value", x, hidden, narrow, PROJECTION, bias=of.bias)
        if of.clip is not None:
            query, key, value = (self._clipped(one, of.clip) for one in (query, key, value))
        query = self._placed(f"{name}.query", of, query, of.heads)
        key = self._placed(f"{name}.key", of, key, of.kv_heads)
        keys, values = self.remember(name, "key", key), self.remember(name, "value", value)
        context = self._attended(name, of, (query, keys, values))
        return self.dense(f"{name}.output", context, wide, hidden, PROJECTION, bias=of.output_bias)

    def _clipped(self, x: str, limit: float) -> str:
        return self.add("clip", f"{x}_clip", {"x": x}, {"limit": limit})

    def _placed(self, name: str, of: Attention, x: str, heads: int) -> str:
        """With the norm of heads, then turned by position."""
        if of.head_norm is not None:
            width = heads * of.width if of.norm_whole else of.width
            x = self._head_norm(f"{name}_norm", of, x, width)
        if of.rotary is None:
            return x
        attributes = rotary_attributes(of.rotary, heads, of.width, self.scenario.attended_tokens)
        attributes["first"] = self.scenario.context_tokens
        return self.add("rotary", f"{name}_rotary", {"x": x}, attributes)

    def _head_norm(self, name: str, of: Attention, x: str, width: int) -> str:
        norm = of.head_norm
        assert norm is not None, "asked for where there is one"
        if of.norm_whole:
            return self.norm(name, norm, x, width=width)
        inputs = {"x": x, "gamma": self.weight(f"{name}.gamma", width)}
        return self.add(norm.kind, name, inputs, {"epsilon": norm.epsilon, "width": width})

    def _attended(self, name: str, of: Attention, operands: tuple[str, str, str]) -> str:
        query, keys, values = operands
        numbers = {"heads": of.heads, "kv_heads": of.kv_heads}
        scale = of.width**-0.5 if of.scale is None else of.scale
        scores = self.add(
            "attention_scores",
            f"{name}.scores",
            {"query": query, "key": keys},
            {**numbers, "scale": scale},
            part=ATTENTION,
        )
        if of.softcap is not None:
            scores = self.add("softcap", f"{name}.softcap", {"x": scores}, {"cap": of.softcap})
        if of.alibi:
            scores = self.add("alibi", f"{name}.alibi", {"x": scores})
        if of.buckets is not None:
            # One table serves all layers.
            table = self.weight("position_bias", of.buckets.count, of.heads)
            says = {"longest": of.buckets.longest, "both_ways": of.buckets.both_ways}
            inputs = {"x": scores, "table": table}
            scores = self.add("position_bias", f"{name}.position_bias", inputs, says)
        inputs = {"x": scores}
        if not self.description.causal:
            inputs["mask"] = "mask"
        if of.sinks:
            inputs["sinks"] = self.weight(f"{name}.sinks", of.heads)
        seen: dict[str, bool | int] = {"causal": self.description.causal}
        if of.window is not None:
            seen["window"] = of.window
        probabilities = self.add("softmax", f"{name}.softmax", inputs, seen, part=OTHER)
        inputs = {"probabilities": probabilities, "value": values}
        return self.add("attention_context", f"{name}.context", inputs, numbers, part=ATTENTION)


def rotary_attributes(
    rotary: Rotary, heads: int, width: int, tokens: int
) -> dict[str, int | float | bool | tuple[float, ...]]:
    """Those of the operator `rotary`, for a sequence of that length."""
    attributes: dict[str, int | float | bool | tuple[float, ...]] = {
        "heads": heads,
        "theta": rotary.theta,
    }
    if rotary.width != width:
        attributes["turned"] = rotary.width
    if rotary.interleaved:
        attributes["interleaved"] = True
    if rotary.scaling != "none":
        attributes["frequencies"] = rotary.frequencies(tokens)
        if rotary.amplitude != 1.0:
            attributes["amplitude"] = rotary.amplitude
    return attributes
