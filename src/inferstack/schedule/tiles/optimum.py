"""Exact search over tiled schedules, with a certificate that says what was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import UnknownNameError
from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import Cost, cost, fixed_energy_pj
from inferstack.cost.programs.pack import energies, machine, problem
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping.contraction import MATMUL_DIMS, Contraction
from inferstack.mapping.epilogue import NO_EPILOGUE, Epilogue
from inferstack.mapping.nest import Mapping
from inferstack.mapping.tiled import Tiling, block, level_of, tiled_mapping

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Array = npt.NDArray[Any]

OBJECTIVES = ("latency", "energy", "edp", "dram_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a search has proven.

    space: the stated space in words; space_size: its mappings. misfits, evaluated,
    pruned_by_bound, pruned_by_dominance: how many of them do not fit, were costed, were proven to
    be worse than the best by a bound, or walk the same tiles as another; their sum is space_size.
    """

    objective: str
    optimal: bool
    space: str
    space_size: int
    misfits: int
    evaluated: int
    pruned_by_bound: int
    pruned_by_dominance: int

    def text(self) -> str:
        """One readable line."""
        proven = "proven optimal" if self.optimal else "not proven optimal"
        return (
            f"{proven} for {self.objective}: {self.space_size:,} mappings, of which "
            f"{self.misfits:,} do not fit, {self.pruned_by_dominance:,} repeat others, "
            f"{self.pruned_by_bound:,} cannot be better, {self.evaluated:,} evaluated"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best mapping, its cost, and the proof."""

    mapping: Mapping
    cost: Cost
    certificate: Certificate


def tile_options(extent: int, step: int) -> Integers:
    """Multiples of the block below the extent, and the extent."""
    import numpy as np

    return np.array([*range(step, extent, step), extent], dtype=np.int64)


def search(
    contraction: Contraction,
    accelerator: Accelerator,
    objective: str = "latency",
    epilogue: Epilogue = NO_EPILOGUE,
    *,
    rest: tuple[float, float] = (0.0, 0.0),
    prune: bool = True,
) -> Found | Infeasible:
    """The best tiled schedule, with `epilogue` fused to it.

    rest: cycles and energy (pJ) that come on top, so that EDP is that of the whole. prune False
    costs every mapping that fits (to check the search).

    Ties go to fewer cycles, fewer bytes of DRAM, then the smallest tile along m, n, k and the first
    order of `packed.ORDERS`. Raises UnknownNameError for an objective that does not exist.
    """
    import numpy as np

    from inferstack.cost.programs.packed import ORDERS
    from inferstack.schedule.tiles import enumerate as kernel

    if objective not in OBJECTIVES:
        raise UnknownNameError("search", "objective", objective, OBJECTIVES)
    q, p = problem(contraction, accelerator, epilogue), machine(accelerator, epilogue)
    options = _options(contraction, accelerator, epilogue)
    best, counts = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    pj = energies(accelerator, fixed_energy_pj(contraction, accelerator, epilogue))
    more, kind = np.array(rest, dtype=np.float64), OBJECTIVES.index(objective)
    value = kernel.search(*options, kind, q, p, pj, more, prune, best, counts)
    if value < 0:
        return _infeasible(contraction, accelerator, options, epilogue)
    tm, tn, tk, order = best.tolist()
    tiling = Tiling(tile=(tm, tn, tk), order=ORDERS[order])
    mapping = tiled_mapping(contraction, accelerator, tiling, epilogue.names)
    return Found(
        mapping=mapping,
        cost=cost(mapping, contraction, accelerator, epilogue),
        certificate=Certificate(
            objective=objective,
            optimal=True,
            space=_space(epilogue),
            space_size=int(counts.sum()),
            misfits=int(counts[kernel.MISFITS]),
            evaluated=int(counts[kernel.EVALUATED]),
            pruned_by_bound=int(counts[kernel.BOUNDED]),
            pruned_by_dominance=int(counts[kernel.DOMINATED]),
        ),
    )


def _space(epilogue: Epilogue) -> str:
    rows = ", n whole" if epilogue.whole_rows else ""
    return f"tiles of whole blocks or the whole extent{rows}, all 6 orders"


def _options(
    contraction: Contraction, accelerator: Accelerator, epilogue: Epilogue
) -> tuple[Integers, Integers, Integers]:
    extents, size = contraction.extents, block(accelerator)
    m, n, k = (tile_options(extents[dim], size.get(dim, size["n"])) for dim in MATMUL_DIMS)
    return m, n[-1:] if epilogue.whole_rows else n, k


def _infeasible(
    contraction: Contraction,
    accelerator: Accelerator,
    options: tuple[Integers, Integers, Integers],
    epilogue: Epilogue,
) -> Infeasible:
    """Why not even the smallest tile fits: the level that is most over its limit."""
    from inferstack.mapping import legality

    smallest = (int(options[0][0]), int(options[1][0]), int(options[2][0]))
    mapping = tiled_mapping(contraction, accelerator, Tiling(tile=smallest, order="mnk"))
    nest = legality.checked(mapping, contraction, accelerator)
    found = legality.misfit(nest, contraction, accelerator)
    assert found is not None, "the smallest tile fits, so the search must find it"
    level = next(v.name for v in accelerator.levels[1:] if found.resource.startswith(v.name))
    held = next(v for v in accelerator.levels if v.name == level)
    factor = 2 if held.double_buffered else 1
    levers = [f"at least {found.demand * factor} bytes of {level}"]
    if held.double_buffered and found.demand <= (held.capacity_bytes or 0):
        levers.append(f"no double buffering of {level}")
    if epilogue.whole_rows and held.name == level_of(accelerator, Role.OUTPUT).name:
        levers.append(f"{' and '.join(epilogue.names)} unfused, so that rows need not be whole")
    return Infeasible(
        resource=found.resource,
        demand=found.demand,
        limit=found.limit,
        unit=found.unit,
        levers=tuple(levers),
    )
