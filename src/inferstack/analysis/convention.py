"""Counting conventions: what of an iteration space counts as an operation and as a byte.

`EXACT` takes the loops as they are. `SURVEY` is the small, named transformation of them that gives
the tables of Kim et al. 2023, arXiv:2302.14017 (Tables 3, 4, 10, 11, 12, Figures 4 to 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from inferstack.analysis.elements import touched_elements
from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError, UnknownNameError
from inferstack.core.units import FLOPS_PER_MAC, ceil_div
from inferstack.ir.graph import Graph, Operator, Tensor, TensorRole
from inferstack.models.blocks import EMBEDDING, HEAD, PROJECTION
from inferstack.models.stored_sizes import Stored
from inferstack.ops.registry import rule_for
from inferstack.ops.rule import OUTPUT, Access, IterationSpace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """An operator where it stands in its graph, with its loops."""

    graph: Graph
    operator: Operator
    space: IterationSpace

    @classmethod
    def of(cls, graph: Graph, operator: Operator) -> Site:
        """The site of `operator` in `graph`."""
        rule = rule_for(operator)
        operands, output = graph.operands(operator), graph.result(operator)
        space = rule.space(operands, output, operator.attributes)
        return cls(graph=graph, operator=operator, space=space)

    def tensor(self, slot: str) -> Tensor:
        """The tensor of an input slot, or the output."""
        operator = self.operator
        return self.graph.tensors[operator.output if slot == OUTPUT else operator.inputs[slot]]


class Mask(StrEnum):
    """Which pairs of query and key count."""

    CAUSAL = "causal"
    """Those that the model attends to: all in an encoder, the earlier keys in a decoder."""
    FULL = "full"
    """Whole rectangles, as a machine computes that does not skip masked pairs."""


class Convention:
    """Each MAC is two operations, each touched element moves once.

    element: the type that stands for every floating-point one; None leaves each its own.
    stored: how weights are stored instead. source: who says these types.
    """

    name = "exact"

    def __init__(
        self,
        element: DType | None = None,
        *,
        mask: Mask = Mask.CAUSAL,
        stored: Stored | None = None,
        source: str = "by default",
    ) -> None:
        self.element, self.mask, self.stored, self.source = element, mask, stored, source

    @property
    def summary(self) -> str:
        """What counts, for the reader of a table."""
        wide = self.element.value if self.element else "its own type"
        return (
            f"every operator; each element that the loops touch moves once, in {wide} "
            f"({self.source}); "
            "a multiply-accumulate is 2 FLOP"
        )

    def includes(self, operator: Operator) -> bool:
        """Whether the operator is counted at all."""
        return True

    def flops(self, site: Site) -> int:
        """Operations of one execution of the operator."""
        space = site.space
        points = space.points * self.visible(site)
        assert points.denominator == 1, "a triangle is a whole number of pairs"
        return int(points) * (FLOPS_PER_MAC * space.macs_per_point + space.flops_per_point)

    def elements(self, site: Site, access: Access) -> int:
        """Elements that one access moves."""
        touched = touched_elements(access, site.space, site.tensor(access.slot).shape)
        pairs = rule_for(site.operator).pairs
        if pairs is None or pairs[1] not in access.dims:
            return touched
        if pairs[0] not in access.dims:
            return int(touched * self.read_keys(site))
        return int(touched * self.visible(site))

    def visible(self, site: Site) -> Fraction:
        """The share of the pairs of query and key that count; 1 where there are none."""
        pairs, softmax = rule_for(site.operator).pairs, _softmax(site)
        if pairs is None or self.mask is Mask.FULL or softmax is None:
            return Fraction(1)
        queries, keys = (site.space.extents[dim] for dim in pairs)
        causal = bool(softmax.attributes.get("causal"))
        # A query sees itself, so many behind it, and so many in front of it.
        reach = (window_of(softmax) or keys) - 1
        first, last = keys - queries, keys - 1
        seen = queries + _capped(first, last, reach)
        if not causal:
            seen += _capped(0, queries - 1, reach)
        return Fraction(seen, queries * keys)

    def read_keys(self, site: Site) -> Fraction:
        """The share of the keys that some query sees."""
        pairs, softmax = rule_for(site.operator).pairs, _softmax(site)
        if pairs is None or self.mask is Mask.FULL or softmax is None:
            return Fraction(1)
        queries, keys = (site.space.extents[dim] for dim in pairs)
        return Fraction(min(queries + (window_of(softmax) or keys) - 1, keys), keys)

    def size_bytes(self, tensor: Tensor, elements: int) -> int:
        """Bytes of that many elements of `tensor`."""
        if self.stored is not None and tensor.role is TensorRole.WEIGHT:
            whole = self.stored.stored_bytes(tensor.name, tensor.shape)
            if whole is not None:
                return ceil_div(whole * elements, tensor.elements)
        if self.element is None or tensor.dtype.is_integer:
            return tensor.dtype.size_bytes(elements)
        return self.element.size_bytes(elements)

    def traffic_bytes(self, site: Site) -> int:
        """Bytes that one execution of the operator moves, with ideal reuse."""
        return sum(
            self.size_bytes(site.tensor(access.slot), self.elements(site, access))
            for access in site.space.accesses
        )


class SurveyConvention(Convention):
    """The survey's convention: one byte per element, the blocks alone, and its peculiarities.

    Source: survey section 2.2 for the convention; its tables for the peculiarities, each of which
    is needed for their printed digits. Not counted: embeddings, the last norm and the head,
    biases, masks, growing the cache.
    """

    name = "survey"

    @property
    def summary(self) -> str:
        """What counts, for the reader of a table."""
        return (
            "as Kim et al. 2023 (arXiv:2302.14017) count: the blocks alone, 1 byte per element, "
            "no biases, no embeddings, no head"
        )

    def includes(self, operator: Operator) -> bool:
        """See the class."""
        return operator.part not in (EMBEDDING, HEAD) and operator.kind != "append_cache"

    def flops(self, site: Site) -> int:
        """Attention has no bias to add; pooling compares each element of its input once.

        The sum over k products takes k - 1 additions. In projections the addition of the bias
        makes them k again; in attention it does not: minus one per output (Table 3). With a cache
        (Table 11, FLOPs 2 d l^2 for l tokens) it is minus one per element of the token's query or
        of its context instead.
        """
        flops = super().flops(site)
        kind = site.operator.kind
        if kind == "max_pool":
            return site.tensor("x").elements
        if kind not in ("attention_scores", "attention_context"):
            return flops
        if not _is_cached(site):
            return flops - site.tensor(OUTPUT).elements
        token = site.tensor("query" if kind == "attention_scores" else OUTPUT)
        return flops - token.elements

    def elements(self, site: Site, access: Access) -> int:
        """Biases and masks do not move; two reads are not what the loops say.

        In an encoder the residual around attention is not read again (Table 3: 17 l d bytes in
        "other", not 18). With a cache the probabilities are read as if they were as many as the
        elements of the token's context (Table 11: h + 3 d / t bytes per cached token, not 2 h).
        """
        kind, slot = site.operator.kind, access.slot
        if slot in ("bias", "mask"):
            return 0
        if kind == "add" and slot == "b" and _goes_around_attention(site):
            return 0
        if kind == "attention_context" and slot == "probabilities" and _is_cached(site):
            return site.tensor(OUTPUT).elements
        return super().elements(site, access)

    def size_bytes(self, tensor: Tensor, elements: int) -> int:
        """One byte each."""
        return DType.INT8.size_bytes(elements)


def _softmax(site: Site) -> Operator | None:
    """The softmax of an operator's attention: it says who sees whom."""
    operator, graph = site.operator, site.graph
    if operator.kind == "attention_context":
        producer = graph.producer(operator.inputs["probabilities"])
        return producer if producer is not None and producer.kind == "softmax" else None
    seen: Operator | None = operator
    # Caps and biases of positions may stand between scores and softmax.
    while seen is not None and seen.kind != "softmax":
        seen = next(iter(graph.consumers(seen.output)), None)
    return seen


def window_of(softmax: Operator) -> int | None:
    """Keys that a query sees at most, itself included; None where it sees all."""
    window = softmax.attributes.get("window", 0)
    assert isinstance(window, int), "a number of tokens"
    return window or None


def _capped(first: int, last: int, most: int) -> int:
    """The sum of min(n, most) for n from first to last."""
    if last < first:
        return 0
    below = min(last, most)
    whole = (first + below) * (below - first + 1) // 2 if below >= first else 0
    return whole + most * (last - max(below, first - 1))


def _is_cached(site: Site) -> bool:
    """Whether attention sees keys or values that come out of a cache."""
    slot = "key" if site.operator.kind == "attention_scores" else "value"
    producer = site.graph.producer(site.operator.inputs[slot])
    return producer is not None and producer.kind == "append_cache"


def _goes_around_attention(site: Site) -> bool:
    """Whether an addition's b is also what attention's projections read: post-norm encoders."""
    users = site.graph.consumers(site.operator.inputs["b"])
    return any(user.part == PROJECTION for user in users)


EXACT = Convention()
SURVEY = SurveyConvention(mask=Mask.FULL)
CONVENTIONS = {convention.name: convention for convention in (EXACT, SURVEY)}


def convention_named(
    name: str,
    element: DType | None = None,
    *,
    mask: Mask | None = None,
    stored: Stored | None = None,
    source: str = "by default",
) -> Convention:
    """The convention of that name, with the element type that stands for floating point.

    Raises UnknownNameError, and InputError for a type or a mask where the convention has its own.
    """
    if name not in CONVENTIONS:
        raise UnknownNameError("--convention", "convention", name, CONVENTIONS)
    if name != EXACT.name and mask not in (None, CONVENTIONS[name].mask):
        raise InputError(
            f"--mask {mask}",
            f"the convention {name} counts whole rectangles",
            hint=f"--convention {EXACT.name}",
        )
    if element is None and (name != EXACT.name or mask is None):
        return CONVENTIONS[name]
    if element is not None and name != EXACT.name:
        raise InputError(
            f"--dtype {element.value}",
            f"the convention {name} has one byte per element",
            hint=f"--convention {EXACT.name}",
        )
    return Convention(element, mask=mask or Mask.CAUSAL, stored=stored, source=source)
