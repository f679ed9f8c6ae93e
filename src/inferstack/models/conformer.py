"""The layer of a conformer: attention and a convolution between two halves of a feed-forward.

Source: Gulati et al. 2020, arXiv:2005.08100, section 2; transformers, models/wav2vec2_conformer.
"""

from __future__ import annotations

from inferstack.models.attention import AttentionBlock
from inferstack.models.blocks import FEED_FORWARD
from inferstack.models.description import Layer
from inferstack.models.feed_forward import FeedForwardBlock

HALF = 0.5


class ConformerBlock(AttentionBlock, FeedForwardBlock):
    """See the module."""

    def conformer(self, name: str, layer: Layer, x: str) -> str:
        """The whole layer."""
        x = self._half(f"{name}.ffn1", layer, x)
        normal = self.norm(f"{name}.attention_norm", layer.norm, x)
        made = self.attention(name, layer.attention, normal)
        x = self.add("add", f"{name}.attention_add", {"a": made, "b": x})
        x = self._convolution(f"{name}.conv", layer, x)
        x = self._half(f"{name}.ffn2", layer, x)
        return self.norm(f"{name}.out_norm", layer.norm, x)

    def _half(self, name: str, layer: Layer, x: str) -> str:
        """A feed-forward whose result counts half."""
        normal = self.norm(f"{name}.norm", layer.norm, x)
        made = self.feed_forward(name, layer.feed_forward, normal)
        made = self.add("scale", f"{name}.half", {"x": made}, {"factor": HALF})
        return self.add("add", f"{name}.add", {"a": made, "b": x})

    def _convolution(self, name: str, layer: Layer, x: str) -> str:
        """A gate, each channel over time by itself, and a dense layer."""
        hidden, kernel = self.description.hidden, layer.kernel
        assert kernel is not None, "a conformer has one"
        normal = self.norm(f"{name}.norm", layer.norm, x)
        value, gate = (
            self.dense(f"{name}.{slot}", normal, hidden, hidden, FEED_FORWARD, bias=False)
            for slot in ("value", "gate")
        )
        share = self.add("sigmoid", f"{name}.share", {"x": gate})
        made = self.add("multiply", f"{name}.gated", {"a": value, "b": share})
        made = self.add("from_tokens", f"{name}.times", {"x": made})
        weight = self.weight(f"{name}.depthwise.weight", hidden, 1, 1, kernel)
        says = {"padding": (kernel - 1) // 2, "row_padding": 0, "groups": hidden}
        inputs = {"x": made, "weight": weight}
        made = self.add("conv2d", f"{name}.depthwise", inputs, says, part=FEED_FORWARD)
        slots = ("gamma", "beta", "mean", "variance")
        tables = {slot: self.weight(f"{name}.batchnorm.{slot}", hidden) for slot in slots}
        says_norm = {"epsilon": BATCHNORM_EPSILON}
        made = self.add("batchnorm", f"{name}.batchnorm", {"x": made, **tables}, says_norm)
        made = self.active(name, layer.feed_forward.activation, made)
        made = self.add("to_tokens", f"{name}.tokens", {"x": made})
        made = self.dense(f"{name}.output", made, hidden, hidden, FEED_FORWARD, bias=False)
        return self.add("add", f"{name}.add", {"a": made, "b": x})


BATCHNORM_EPSILON = 1e-5
"""torch's own, which the weights were trained with."""
