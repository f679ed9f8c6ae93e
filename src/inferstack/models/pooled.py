"""One vector of a text or an image, as a `description.Pooled` says."""

from __future__ import annotations

from inferstack.models.attention import AttentionBlock
from inferstack.models.blocks import HEAD
from inferstack.models.description import Layer, Pooled
from inferstack.models.feed_forward import FeedForwardBlock

NAME = "pooled"


class PooledBlock(AttentionBlock, FeedForwardBlock):
    """Picks a token, or asks all of them."""

    def pooled(self, of: Pooled, x: str) -> str:
        """The vector (batch, width)."""
        hidden = self.description.hidden
        token = of.token
        if of.probe is not None:
            x, token = self._asked(of.probe, x), 0
        if token is None:
            says = {} if of.end is None else {"id": of.end}
            x = self.add("pick_token", f"{NAME}.token", {"x": x, "ids": "ids"}, says, part=HEAD)
        else:
            x = self.add("pick_token", f"{NAME}.token", {"x": x}, {"at": token}, part=HEAD)
        if of.norm is not None:
            x = self.norm(f"{NAME}.norm", of.norm, x, part=HEAD)
        if of.width is None:
            return x
        return self.dense(f"{NAME}.projection", x, hidden, of.width, HEAD, bias=of.bias)

    def _asked(self, of: Layer, x: str) -> str:
        """What a learned query finds, (batch, 1, d).

        Source: Zhai et al. 2021, arXiv:2106.04560, section 3.3; transformers, models/siglip.
        """
        hidden, attention = self.description.hidden, of.attention
        probe = {"x": self.weight(f"{NAME}.probe", 1, hidden), "like": x}
        query = self.add("spread_batch", f"{NAME}.probe_spread", probe, part=HEAD)
        query, key, value = (
            self.dense(f"{NAME}.{slot}", source, hidden, hidden, HEAD, bias=attention.bias)
            for slot, source in (("query", query), ("key", x), ("value", x))
        )
        x = self._attended(NAME, attention, (query, key, value))
        x = self.dense(f"{NAME}.output", x, hidden, hidden, HEAD, bias=attention.output_bias)
        normal = self.norm(f"{NAME}.ffn_norm", of.norm, x, part=HEAD)
        made = self.feed_forward(NAME, of.feed_forward, normal)
        return self.add("add", f"{NAME}.ffn_add", {"a": made, "b": x}, part=HEAD)
