"""Feed-forward blocks as a `description.FeedForward` says, mixtures of experts included."""

from __future__ import annotations

from inferstack.ir.graph import Attribute
from inferstack.models.blocks import FEED_FORWARD
from inferstack.models.described import DescribedBuilder
from inferstack.models.description import FeedForward

ACTIVATIONS: dict[str, tuple[str, dict[str, Attribute]]] = {
    "gelu": ("gelu", {"approximate": "none"}),
    "gelu_tanh": ("gelu", {"approximate": "tanh"}),
    "gelu_quick": ("gelu", {"approximate": "quick"}),
    "relu": ("relu", {}),
    "silu": ("silu", {}),
    "tanh": ("tanh", {}),
}
"""The operator of an activation and its attributes."""


class FeedForwardBlock(DescribedBuilder):
    """Two dense layers with an activation between, or three."""

    def feed_forward(self, name: str, of: FeedForward, x: str) -> str:
        """The block of a layer."""
        return self._dense_block(name, of, of.inner, x)

    def _dense_block(self, name: str, of: FeedForward, inner: int, x: str) -> str:
        hidden = self.description.hidden
        if of.gated:
            gate = self.dense(f"{name}.gate", x, hidden, inner, FEED_FORWARD, bias=of.bias)
            active = self.active(name, of.activation, gate)
            wide = self.dense(f"{name}.intermediate", x, hidden, inner, FEED_FORWARD, bias=of.bias)
            wide = self.add("multiply", f"{name}.gated", {"a": active, "b": wide})
        else:
            wide = self.dense(f"{name}.intermediate", x, hidden, inner, FEED_FORWARD, bias=of.bias)
            wide = self.active(name, of.activation, wide)
        return self.dense(f"{name}.ffn_output", wide, inner, hidden, FEED_FORWARD, bias=of.bias)

    def active(self, name: str, activation: str, x: str) -> str:
        """An activation behind `x`."""
        if activation == "relu2":
            x = self.add("relu", f"{name}.relu", {"x": x})
            return self.add("multiply", f"{name}.square", {"a": x, "b": x})
        kind, attributes = ACTIVATIONS[activation]
        return self.add(kind, f"{name}.{kind}", {"x": x}, attributes)
