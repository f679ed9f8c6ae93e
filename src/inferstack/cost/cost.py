"""`cost`: the one place where a schedule gets its traffic, occupancy, cycles and energy.

    cost(mapping, contraction with what follows it, accelerator)

Two counters stand behind it, and the machine's own word (`Accelerator.control`) and the mapping's
form choose between them:

- `programs.tiled`: a tiled schedule on a machine that runs programs, step by step: DMA requests,
  queues, what the array waits for, and operators on the way out;
- `sequencer`: any nest on a machine whose loops are fixed in hardware; also a nest that no program
  of a program machine expresses (a convolution so far): a lower bound there.
"""

from __future__ import annotations

from inferstack.core.errors import MappingError
from inferstack.core.infeasible import Infeasible
from inferstack.cost import sequencer
from inferstack.cost.figures import Cost
from inferstack.cost.programs import tiled
from inferstack.hardware.accelerator import Accelerator, Control
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping
from inferstack.mapping.tiled import tiling_of


def cost(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> Cost:
    """What a mapping costs, with what follows the contraction (its `epilogue`) fused to it.

    Raises MappingError for a mapping that makes no sense, does not fit, or fuses what the machine
    cannot fuse.
    """
    nest = legality.checked(mapping, contraction.finished, accelerator)
    misfit = legality.misfit(nest, contraction.finished, accelerator)
    if misfit is not None:
        raise _does_not_fit(mapping, misfit)
    _check_fused(mapping, contraction)
    if accelerator.control is Control.PROGRAMS:
        tiling = tiling_of(mapping, contraction, accelerator)
        if tiling is not None:
            return tiled.tiled_cost(mapping, nest, tiling, contraction, accelerator)
    if contraction.epilogue.kinds:
        raise MappingError(
            f"mapping of {mapping.operator}",
            "operators on the way out need a tiled schedule on a machine that runs programs",
            got=", ".join(contraction.epilogue.names),
            hint="a machine with a fixed sequencer fuses groups: see `inferstack map --out`",
        )
    return sequencer.sequencer_cost(nest, contraction, accelerator)


def _check_fused(mapping: Mapping, contraction: Contraction) -> None:
    """The mapping and the contraction name the same operators behind it."""
    if mapping.fused != contraction.epilogue.names:
        raise MappingError(
            f"mapping of {mapping.operator}",
            "the nest and what follows the operator name different fused operators",
            got=", ".join(mapping.fused) or "none",
            need=", ".join(contraction.epilogue.names) or "none",
        )


def _does_not_fit(mapping: Mapping, misfit: Infeasible) -> MappingError:
    return MappingError(
        f"mapping of {mapping.operator}",
        f"does not fit the {misfit.resource}",
        got=f"{misfit.demand} bytes",
        need=f"at most {misfit.limit}",
        hint="; or ".join(misfit.levers),
    )


__all__ = ["Cost", "cost"]
