"""Feed-forward blocks as a `description.FeedForward` says, mixtures of experts included."""

from __future__ import annotations

from inferstack.ir.graph import Attribute
from inferstack.models.blocks import FEED_FORWARD, OTHER
from inferstack.models.described import DescribedBuilder
from inferstack.models.description import Experts, FeedForward

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
        if of.experts is None:
            return self._dense_block(name, of, of.inner, x)
        made = self._mixture(name, of, of.experts, x)
        if not of.experts.shared:
            return made
        return self._with_shared(name, of, of.experts, x, made)

    def _mixture(self, name: str, of: FeedForward, experts: Experts, x: str) -> str:
        """Each token through its experts."""
        hidden, inner, active = self.description.hidden, of.inner, experts.active
        scores = self.dense(
            f"{name}.router", x, hidden, experts.count, FEED_FORWARD, bias=experts.router_bias
        )
        inputs = {"x": scores}
        if experts.correction:
            inputs["bias"] = self.weight(f"{name}.router.correction", experts.count)
        says: dict[str, Attribute] = {
            "active": active,
            "scoring": experts.scoring,
            "normalized": experts.normalized,
            "factor": experts.factor,
        }
        if experts.groups > 1:
            says |= {"groups": experts.groups, "open": experts.open}
        routes = self.add("route", f"{name}.route", inputs, says)
        sent = self.add("dispatch", f"{name}.dispatch", {"x": x, "routes": routes}, says_active(of))

        def projected(slot: str, source: str, rows: int, columns: int) -> str:
            weight = f"{name}.experts.{slot}"
            given = {"a": source, "routes": routes}
            given["b"] = self.weight(f"{weight}.weight", experts.count, rows, columns)
            if of.bias:
                given["bias"] = self.weight(f"{weight}.bias", experts.count, columns)
            return self.add("expert_matmul", weight, given, says_active(of), part=FEED_FORWARD)

        gate = projected("gate", sent, hidden, inner)
        wide = projected("intermediate", sent, hidden, inner)
        wide = self._gated(f"{name}.experts", of, gate, wide)
        narrow = projected("ffn_output", wide, inner, hidden)
        given = {"x": narrow, "routes": routes}
        return self.add("combine", f"{name}.combine", given, says_active(of))

    def _with_shared(self, name: str, of: FeedForward, experts: Experts, x: str, made: str) -> str:
        """The expert that all tokens go through."""
        shared = self._dense_block(f"{name}.shared", of, experts.shared, x)
        if experts.shared_gate:
            hidden = self.description.hidden
            gate = self.dense(f"{name}.shared_gate", x, hidden, 1, FEED_FORWARD, bias=False)
            share = self.add("sigmoid", f"{name}.shared_share", {"x": gate})
            shared = self.add("multiply", f"{name}.shared_weighed", {"a": shared, "b": share})
        return self.add("add", f"{name}.shared_add", {"a": made, "b": shared})

    def _gated(self, name: str, of: FeedForward, gate: str, wide: str) -> str:
        """Two projections as one."""
        if of.activation == "swiglu_clamped":
            return self.add("swiglu_clamped", f"{name}.gated", {"gate": gate, "x": wide})
        active = self.active(name, of.activation, gate)
        return self.add("multiply", f"{name}.gated", {"a": active, "b": wide})

    def _dense_block(self, name: str, of: FeedForward, inner: int, x: str) -> str:
        hidden = self.description.hidden
        if of.gated:
            gate = self.dense(f"{name}.gate", x, hidden, inner, FEED_FORWARD, bias=of.bias)
            wide = self.dense(f"{name}.intermediate", x, hidden, inner, FEED_FORWARD, bias=of.bias)
            wide = self._gated(name, of, gate, wide)
        else:
            wide = self.dense(f"{name}.intermediate", x, hidden, inner, FEED_FORWARD, bias=of.bias)
            wide = self.active(name, of.activation, wide)
        return self.dense(f"{name}.ffn_output", wide, inner, hidden, FEED_FORWARD, bias=of.bias)

    def active(self, name: str, activation: str, x: str, *, part: str = OTHER) -> str:
        """An activation behind `x`."""
        if activation == "relu2":
            x = self.add("relu", f"{name}.relu", {"x": x}, part=part)
            return self.add("multiply", f"{name}.square", {"a": x, "b": x}, part=part)
        kind, attributes = ACTIVATIONS[activation]
        return self.add(kind, f"{name}.{kind}", {"x": x}, attributes, part=part)


def says_active(of: FeedForward) -> dict[str, Attribute]:
    """The attribute that operators of a mixture share."""
    assert of.experts is not None, "asked for where there are some"
    return {"active": of.experts.active}
