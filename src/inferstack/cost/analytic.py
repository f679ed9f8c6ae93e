"""The survey's analytic model: traffic of square tiles in the outermost on-chip memory, latency.

Source: Kim et al. 2023, arXiv:2302.14017, section 3.3 (Fig. 11, Table 5) and Fig. 32. Where the
paper is silent, the reading that gives Table 5 to 0.003 and Fig. 32 to 3 % is taken:
- out (M, L) = W (M, K) in (K, L) moves M K ceil(L/T) + K L ceil(M/T) + M L (output + bias) bytes
  between DRAM and the next memory, T = the edge of the largest square int8 tile in its usable part;
- results that a nonlinear operator reads are partial sums (32 bit), all others 8 bit; the bias is
  read as a whole 8-bit matrix;
- an operator takes the longer of its computation and its traffic; the hops between DRAM and the
  array are one after the other; no operators are fused, none overlap.
The fill of the array and latencies are not counted. It is there to reproduce the survey:
`cost.cost` predicts a mapping, and `cost.least` says what no mapping goes below.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from inferstack.analysis.convention import SURVEY, Convention, Site
from inferstack.analysis.elements import touched_elements
from inferstack.analysis.roofline import Roof
from inferstack.core.dtypes import DType
from inferstack.core.units import FLOPS_PER_MAC, ceil_div
from inferstack.cost.operator_time import OperatorTime, summed
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.ir.graph import Graph, Work
from inferstack.mapping.kernels import FOLDED
from inferstack.ops.registry import rule_for
from inferstack.ops.rule import OUTPUT

_NONLINEAR = frozenset({Work.SOFTMAX, Work.NORM, Work.ACTIVATION})
"""Read partial sums. The residual addition between a matmul and a norm passes them on: the survey
adds behind the norm, where everything has 8 bit again."""


def analytic_costs(
    graph: Graph, accelerator: Accelerator, convention: Convention = SURVEY
) -> tuple[OperatorTime, ...]:
    """One pass of `graph`, operator by operator.

    convention: says which operators count and how many FLOPs they have; not the bytes.
    """
    return tuple(
        _cost(Site.of(graph, operator), accelerator, convention)
        for operator in graph.operators
        if convention.includes(operator)
    )


def generation_costs(
    step: Callable[[int], Graph],
    tokens: int,
    accelerator: Accelerator,
    convention: Convention = SURVEY,
) -> tuple[OperatorTime, ...]:
    """The sum over `tokens` steps of decoding; step(context) is the graph behind that many tokens.

    While the context stays within one tile, every figure is affine in it.
    """
    return summed(
        step,
        lambda graph: analytic_costs(graph, accelerator, convention),
        tokens,
        tile_edge(accelerator),
    )


def tile_edge(accelerator: Accelerator) -> int:
    """The edge of the largest square int8 tile that the memory next to DRAM holds."""
    usable = _path(accelerator, Role.WEIGHT)[0].usable_bytes
    assert usable is not None, "memories on the chip are bounded"
    return max(1, math.isqrt(usable * 8 // DType.INT8.bits))


def roof_of(accelerator: Accelerator) -> Roof:
    """The array's peak and the bandwidth towards DRAM."""
    port = _path(accelerator, Role.WEIGHT)[0].read_bytes_per_cycle
    bandwidth = min(accelerator.levels[0].read_bytes_per_cycle, port)
    return Roof(
        name=accelerator.name,
        peak_flops_per_s=FLOPS_PER_MAC * accelerator.peak_macs_per_cycle * accelerator.clock_hz,
        bandwidth_bytes_per_s=bandwidth * accelerator.clock_hz,
    )


def _path(accelerator: Accelerator, role: Role) -> tuple[Level, ...]:
    """The memories on the chip that an operand passes, outermost first."""
    return tuple(level for level in accelerator.levels[1:] if role in level.holds)


def _cost(site: Site, accelerator: Accelerator, convention: Convention) -> OperatorTime:
    operator, repeats = site.operator, site.graph.repeat(site.operator)
    moved = _moved_bytes(site, accelerator)
    per_byte = sum(1 / level.read_bytes_per_cycle for level in _path(accelerator, Role.WEIGHT))
    compute, memory = _compute_cycles(site, accelerator), moved * per_byte
    return OperatorTime(
        name=operator.name,
        kind=operator.kind,
        part=operator.part,
        work=rule_for(operator).work,
        repeats=repeats,
        flops=repeats * convention.flops(site),
        traffic_bytes=repeats * moved,
        compute_cycles=repeats * compute,
        memory_cycles=repeats * memory,
        cycles=repeats * max(compute, memory),
    )


def _compute_cycles(site: Site, accelerator: Accelerator) -> float:
    """On the array at its peak, in the vector unit, or on the host."""
    space, kind = site.space, site.operator.kind
    if space.macs_per_point:
        return space.points * space.macs_per_point / accelerator.peak_macs_per_cycle
    unit = accelerator.vector_unit
    if unit is not None and kind in unit.passes:
        return space.points * unit.passes[kind] / unit.lanes
    if not accelerator.has_host and (not space.flops_per_point or kind == FOLDED):
        # Moves without operations, and what is folded into weights, need nobody.
        return 0.0
    host = accelerator.host
    return space.points * host.cycles_per_element.get(kind, host.default_cycles_per_element)


def _moved_bytes(site: Site, accelerator: Accelerator) -> int:
    """Bytes between DRAM and the next memory."""
    space = site.space
    contracts = space.macs_per_point > 0
    written = {dim for dim in space.extents if dim not in space.reductions}
    sums_bits = _path(accelerator, Role.OUTPUT)[0].partial_sum_bits
    edge, bits = tile_edge(accelerator), 0
    for access in space.accesses:
        elements = touched_elements(access, space, site.tensor(access.slot).shape)
        if access.slot == "mask":
            continue
        if access.slot == OUTPUT:
            bits += elements * (sums_bits if contracts and _feeds_nonlinear(site) else 8)
        elif contracts and access.slot == "bias":
            bits += site.tensor(OUTPUT).elements * 8
        elif contracts:
            others = math.prod(space.extents[dim] for dim in written - access.dims)
            bits += elements * ceil_div(others, edge) * 8
        else:
            bits += elements * (sums_bits if rule_for(site.operator).work in _NONLINEAR else 8)
    return ceil_div(bits, 8)


def _feeds_nonlinear(site: Site) -> bool:
    """Whether the result goes to a nonlinear operator or to a residual addition."""
    works = {rule_for(user).work for user in site.graph.consumers(site.operator.output)}
    return bool(works & (_NONLINEAR | {Work.RESIDUAL_ADD}))
