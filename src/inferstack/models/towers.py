"""The graph of `pair.Towers`: a text and an image, and how well they match.

Inputs: ids and mask (batch, tokens), image (batch, channels, height, width). Outputs: the vectors
of the texts and of the images, of unit length, then the logits (texts, images).
"""

from __future__ import annotations

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import WeightSource
from inferstack.models.blocks import HEAD
from inferstack.models.decoder import LOGITS
from inferstack.models.names import TEXT, VISION
from inferstack.models.pair import Towers
from inferstack.models.scenario import Scenario
from inferstack.models.transformer import StackBuilder, check_fits


def towers(
    name: str,
    of: Towers,
    scenario: Scenario,
    weights: WeightSource,
    *,
    unrolled: bool,
    beyond_positions: bool = False,
) -> Graph:
    """See `Architecture.build`. As many images as texts."""
    check_fits(name, of.text, scenario, beyond_positions=beyond_positions)
    text = StackBuilder(name, of.text, scenario, weights, TEXT, TEXT)
    builder = text.builder
    vision = StackBuilder(name, of.vision, scenario, weights, VISION, VISION, builder=builder)
    _, of_text = text.outputs(unrolled=unrolled)
    _, of_image = vision.outputs(unrolled=unrolled)
    vectors = tuple(
        builder.add("unit_length", f"{made}_unit", {"x": made}, part=HEAD)
        for made in (of_text, of_image)
    )

    def number(called: str) -> str:
        data = weights(called, (1,))
        return builder.tensor(called, (1,), DType.FLOAT32, TensorRole.WEIGHT, data)

    scale = builder.add("exp", "scale", {"x": number("logit_scale")}, part=HEAD)
    inputs = {"a": vectors[0], "b": vectors[1]}
    x = builder.add("matmul", "products", inputs, {"transpose_b": True}, part=HEAD)
    scaled = "scaled" if of.bias else LOGITS
    x = builder.add("multiply", scaled, {"a": x, "b": scale}, part=HEAD)
    if of.bias:
        x = builder.add("add", LOGITS, {"a": x, "b": number("logit_bias")}, part=HEAD)
    return builder.build((*vectors, x))
