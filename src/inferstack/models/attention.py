"""Self-attention as a `description.Attention` says."""

from __future__ import annotations

from dataclasses import replace

from inferstack.core.dtypes import DType
from inferstack.ir.graph import TensorRole
from inferstack.models.blocks import ATTENTION, OTHER, PROJECTION
from inferstack.models.description import Attention, Latent
from inferstack.models.relative import RelativeBlock
from inferstack.models.rotary import Rotary
from inferstack.models.scenario import Phase


class AttentionBlock(RelativeBlock):
    """Projections, positions, scores, softmax, context."""

    def attention(self, name: str, of: Attention, x: str) -> str:
        """Attention of all heads and its output projection."""
        if of.latent is not None:
            return self._latent(name, of, of.latent, x)
        hidden = self.description.hidden
        wide, narrow = of.heads * of.width, of.kv_heads * of.width
        turned = self._turned(f"{name}.hidden", of, x, of.heads) if of.turned_before else x
        query = self.dense(f"{name}.query", turned, hidden, wide, PROJECTION, bias=of.bias)
        bias = of.bias and of.key_bias
        key = self.dense(f"{name}.key", turned, hidden, narrow, PROJECTION, bias=bias)
        value = self.dense(f"{name}.value", x, hidden, narrow, PROJECTION, bias=of.bias)
        if of.clip is not None:
            value = self._clipped(value, of.clip)
        query = self._placed(f"{name}.query", of, query, of.heads)
        key = self._placed(f"{name}.key", of, key, of.kv_heads)
        keys, values = self.remember(name, "key", key), self.remember(name, "value", value)
        context = self._attended(name, of, (query, keys, values))
        return self.dense(f"{name}.output", context, wide, hidden, PROJECTION, bias=of.output_bias)

    def _latent(self, name: str, of: Attention, latent: Latent, x: str) -> str:
        """With keys and values out of a narrow vector; the cache holds that, and the key's part
        that turns."""
        hidden, heads = self.description.hidden, of.heads
        each = latent.plain + latent.turned
        source, rows = x, hidden
        if latent.query is not None:
            source = self.dense(
                f"{name}.query_latent", x, hidden, latent.query, PROJECTION, bias=of.bias
            )
            source = self.norm(f"{name}.query_norm", latent.norm, source, width=latent.query)
            rows = latent.query
        query = self.dense(f"{name}.query", source, rows, heads * each, PROJECTION, bias=False)
        narrow = self.dense(f"{name}.latent", x, hidden, latent.width, PROJECTION, bias=of.bias)
        narrow = self.norm(f"{name}.latent_norm", latent.norm, narrow, width=latent.width)
        common = self.dense(
            f"{name}.key_turned", x, hidden, latent.turned, PROJECTION, bias=of.bias
        )
        if of.rotary is not None:
            tokens = self.scenario.attended_tokens
            turns = rotary_attributes(of.rotary, heads, each, tokens)
            turns |= {"first": self.scenario.context_tokens, "skipped": latent.plain}
            query = self.add("rotary", f"{name}.query_rotary", {"x": query}, turns)
            turns = rotary_attributes(of.rotary, 1, latent.turned, tokens)
            turns["first"] = self.scenario.context_tokens
            common = self.add("rotary", f"{name}.key_rotary", {"x": common}, turns)
        narrow, common = self.remember(name, "key", narrow), self.remember(name, "value", common)
        width, columns = latent.width, heads * latent.plain
        own = self.dense(f"{name}.key_plain", narrow, width, columns, PROJECTION, bias=False)
        keys = self.add(
            "join_heads", f"{name}.keys_joined", {"own": own, "common": common}, {"heads": heads}
        )
        columns = heads * latent.value
        values = self.dense(f"{name}.value", narrow, width, columns, PROJECTION, bias=False)
        scaled = replace(of, kv_heads=heads, width=each)
        context = self._attended(name, scaled, (query, keys, values))
        return self.dense(
            f"{name}.output", context, columns, hidden, PROJECTION, bias=of.output_bias
        )

    def cross_attention(self, name: str, of: Attention, x: str) -> str:
        """Attention to what the encoder made; its keys and values come with the prompt."""
        hidden, scenario = self.description.hidden, self.scenario
        wide, narrow = of.heads * of.width, of.kv_heads * of.width
        query = self.dense(f"{name}.cross_query", x, hidden, wide, PROJECTION, bias=of.bias)
        made = []
        for slot, bias in (("key", of.bias and of.key_bias), ("value", of.bias)):
            own = f"{name}.cross_{slot}"
            if scenario.phase is Phase.PREFILL:
                self.dense(own, "source", hidden, narrow, PROJECTION, bias=bias)
                self.remembered.append(own)
                made.append(own)
                continue
            shape = (scenario.batch, scenario.read_tokens, narrow)
            cache = f"{own}_cache"
            made.append(self.builder.tensor(cache, shape, DType.FLOAT32, TensorRole.CACHE))
        operands = (query, made[0], made[1])
        context = self._attended(f"{name}.cross", of, operands, mask="source_mask")
        return self.dense(
            f"{name}.cross_output", context, wide, hidden, PROJECTION, bias=of.output_bias
        )

    def _clipped(self, x: str, limit: float) -> str:
        return self.add("clip", f"{x}_clip", {"x": x}, {"limit": limit})

    def _placed(self, name: str, of: Attention, x: str, heads: int) -> str:
        """With the norm of heads, cut, then turned by position."""
        if of.head_norm is not None:
            x = self._head_norm(f"{name}_norm", of, x, heads)
        if of.clip is not None:
            x = self._clipped(x, of.clip)
        return x if of.turned_before else self._turned(name, of, x, heads)

    def _turned(self, name: str, of: Attention, x: str, heads: int) -> str:
        """By position, where the attention says so."""
        if of.rotary is None:
            return x
        attributes = rotary_attributes(of.rotary, heads, of.width, self.scenario.attended_tokens)
        attributes["first"] = self.scenario.context_tokens
        return self.add("rotary", f"{name}_rotary", {"x": x}, attributes)

    def _head_norm(self, name: str, of: Attention, x: str, heads: int) -> str:
        norm = of.head_norm
        assert norm is not None, "asked for where there is one"
        if of.norm_whole:
            return self.norm(name, norm, x, width=heads * of.width)
        shape = (heads, of.width) if of.norm_each else (of.width,)
        inputs = {"x": x, "gamma": self.weight(f"{name}.gamma", *shape)}
        if norm.kind == "layernorm" and norm.bias:
            inputs["beta"] = self.weight(f"{name}.beta", *shape)
        return self.add(norm.kind, name, inputs, {"epsilon": norm.epsilon, "width": of.width})

    def _attended(
        self, name: str, of: Attention, operands: tuple[str, str, str], mask: str | None = None
    ) -> str:
        """mask: over the keys, of attention that sees all of them."""
        query, keys, values = operands
        numbers = {"heads": of.heads, "kv_heads": of.kv_heads}
        scale = of.width**-0.5 if of.scale is None else of.scale
        if of.sinusoids:
            scores = self.with_sinusoids(name, of, query, keys)
        else:
            scores = self.add(
                "attention_scores",
                f"{name}.scores",
                {"query": query, "key": keys},
                {**numbers, "scale": scale},
                part=ATTENTION,
            )
        if of.disentangled is not None:
            scores = self.disentangled(name, of, scores, query, keys)
        if of.softcap is not None:
            scores = self.add("softcap", f"{name}.softcap", {"x": scores}, {"cap": of.softcap})
        if of.alibi:
            scale = {} if of.alibi_scale == 1.0 else {"scale": of.alibi_scale}
            scores = self.add("alibi", f"{name}.alibi", {"x": scores}, scale)
        if of.buckets is not None:
            kept = f"{name}.position_table" if of.buckets.each else "position_bias"
            table = self.weight(kept, of.buckets.count, of.heads)
            says = {"longest": of.buckets.longest, "both_ways": of.buckets.both_ways}
            inputs = {"x": scores, "table": table}
            scores = self.add("position_bias", f"{name}.position_bias", inputs, says)
        inputs = {"x": scores}
        causal = self.description.causal and mask is None
        if mask or self.description.is_masked:
            inputs["mask"] = mask or "mask"
        if of.sinks:
            inputs["sinks"] = self.weight(f"{name}.sinks", of.heads)
        seen: dict[str, bool | int] = {"causal": causal}
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
