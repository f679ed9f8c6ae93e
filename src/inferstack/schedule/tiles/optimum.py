"""Exact search over tiled schedules, with a certificate that says what was looked at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from inferstack.core.infeasible import Infeasible
from inferstack.core.units import ceil_div
from inferstack.cost.cost import cost
from inferstack.cost.figures import OBJECTIVES, check_objective
from inferstack.cost.programs.pack import energies, machine, problem
from inferstack.cost.programs.tiled import fixed_energy_pj
from inferstack.cost.scheduled import Certificate, Scheduled
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping.contraction import MATMUL_DIMS, Contraction
from inferstack.mapping.tiled import Tiling, block, level_of, tiled_mapping

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Array = npt.NDArray[Any]


def tile_options(extent: int, step: int, perfect: bool = False) -> Integers:
    """Multiples of the block below the extent, and the extent.

    perfect: only those whose blocks divide the extent's blocks.
    """
    import numpy as np

    blocks = ceil_div(extent, step)
    sizes = [step * n for n in range(1, blocks) if not perfect or blocks % n == 0]
    return np.array([*sizes, extent], dtype=np.int64)


def search(
    contraction: Contraction,
    accelerator: Accelerator,
    objective: str = "latency",
    *,
    rest: tuple[float, float] = (0.0, 0.0),
    perfect: bool = False,
    prune: bool = True,
) -> Scheduled | Infeasible:
    """The best tiled schedule, with what follows the contraction fused to it.

    rest: cycles and energy (pJ) that come on top, so that EDP is that of the whole. perfect: only
    tiles that divide. prune False costs every mapping that fits (to check the search).

    Ties go to fewer cycles, fewer bytes of DRAM, then the smallest tile along m, n, k and the first
    order of `packed.ORDERS`. Raises UnknownNameError for an objective that does not exist.
    """
    import numpy as np

    from inferstack.cost.programs.packed import ORDERS
    from inferstack.schedule.tiles import enumerate as kernel

    check_objective("search", objective)
    started = time.perf_counter()
    epilogue = contraction.epilogue
    q, p = problem(contraction, accelerator), machine(accelerator, epilogue)
    options = _options(contraction, accelerator, perfect)
    best, counts = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    pj = energies(accelerator, fixed_energy_pj(contraction, accelerator))
    more, kind = np.array(rest, dtype=np.float64), OBJECTIVES.index(objective)
    value = kernel.search(*options, kind, q, p, pj, more, prune, best, counts)
    if value < 0:
        return _infeasible(contraction, accelerator, options)
    tm, tn, tk, order = best.tolist()
    tiling = Tiling(tile=(tm, tn, tk), order=ORDERS[order])
    mapping = tiled_mapping(contraction, accelerator, tiling, epilogue.names)
    found = cost(mapping, contraction, accelerator)
    return Scheduled(
        contraction=contraction,
        accelerator=accelerator,
        mapping=mapping,
        cost=found,
        certificate=Certificate(
            objective=objective,
            optimal=True,
            space=_space(contraction, perfect),
            space_size=int(counts.sum()),
            misfits=int(counts[kernel.MISFITS]),
            evaluated=int(counts[kernel.EVALUATED]),
            pruned_by_bound=int(counts[kernel.BOUNDED]),
            pruned_by_dominance=int(counts[kernel.DOMINATED]),
            open=0,
            bound=found.value(objective),
            seconds=time.perf_counter() - started,
        ),
    )


def _space(contraction: Contraction, perfect: bool) -> str:
    sizes = "that divide the extent's blocks" if perfect else "or the whole extent"
    rows = ", n whole" if contraction.epilogue.whole_rows else ""
    return f"tiles of whole blocks {sizes}{rows}, all 6 orders"


def _options(
    contraction: Contraction, accelerator: Accelerator, perfect: bool
) -> tuple[Integers, Integers, Integers]:
    extents, size = contraction.extents, block(accelerator)
    m, n, k = (tile_options(extents[d], size.get(d, size["n"]), perfect) for d in MATMUL_DIMS)
    return m, n[-1:] if contraction.epilogue.whole_rows else n, k


def _infeasible(
    contraction: Contraction,
    accelerator: Accelerator,
    options: tuple[Integers, Integers, Integers],
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
    epilogue = contraction.epilogue
    if epilogue.whole_rows and held.name == level_of(accelerator, Role.OUTPUT).name:
        levers.append(f"{' and '.join(epilogue.names)} unfused, so that rows need not be whole")
    return Infeasible(
        resource=found.resource,
        demand=found.demand,
        limit=found.limit,
        unit=found.unit,
        levers=tuple(levers),
    )
