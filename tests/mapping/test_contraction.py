"""What a mapper needs of an operator says the same as the analysis of the graph."""

from __future__ import annotations

import pytest

from inferstack.analysis.elements import touched_elements
from inferstack.core.errors import InputError
from inferstack.mapping.contraction import contraction, is_contraction
from inferstack.mapping.shapes import convolution
from inferstack.models.architecture import build
from inferstack.models.scenario import Scenario
from inferstack.ops.distinct import distinct, distinct_inside
from inferstack.ops.registry import rule_for


@pytest.mark.parametrize(
    ("model", "scenario"),
    [
        ("resnet50", Scenario.encode(1)),
        ("bert-base", Scenario.encode(128)),
        ("gpt2", Scenario.decode(127)),
    ],
)
def test_operands_have_as_many_elements_as_the_analysis_counts(
    model: str, scenario: Scenario
) -> None:
    graph = build(model, scenario)
    for operator in filter(is_contraction, graph.operators):
        found = contraction(graph, operator)
        tensors = {**graph.operands(operator), "out": graph.result(operator)}
        space = rule_for(operator).space(
            graph.operands(operator), graph.result(operator), operator.attributes
        )
        for operand in found.operands:
            shape = tensors[operand.slot].shape
            counted = touched_elements(space.access(operand.slot), space, shape)
            assert operand.stored(found.extents) == counted, (operator.name, operand.slot)


def test_padding_takes_room_and_no_traffic() -> None:
    wanted = convolution(n=1, c=1, p=56, q=56, r=3, s=3, padding=1)
    image = wanted.operand("x")
    assert image.elements(wanted.extents) == 58 * 58
    assert image.stored(wanted.extents) == 56 * 56
    with pytest.raises(InputError, match="padding leaves no input"):
        convolution(n=1, c=1, p=1, q=1, r=3, s=3, padding=2)


def test_sums_without_a_closed_form_are_counted_in_no_time() -> None:
    # 3 x + 2 y, x and y below 2^20: all but 1 and, from the other end, most - 1.
    terms = ((3, 2**20), (2, 2**20))
    most = 5 * (2**20 - 1)
    assert distinct(terms) == most + 1 - 2
    assert distinct_inside(terms, -10, most) == most - 10
