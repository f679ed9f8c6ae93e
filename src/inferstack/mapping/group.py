"""`GroupMapping`: how neighbours share tiles on the chip, with the nests of their contractions."""

from __future__ import annotations

from dataclasses import dataclass

from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """rows: of each tile of what the group hands out; None for all. by_head: one head at a time.

    columns: of attention's scores at a time, by the running maximum; None for whole rows.
    """

    rows: int | None
    by_head: bool
    columns: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there is one tile."""
        return self.rows is None and not self.by_head


WHOLE = Tile(rows=None, by_head=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMapping:
    """A fused group. kernels: their names, in order. level: where results stay, and the tensors
    `pinned`. nests: each distinct chunk of a contraction with its mapping."""

    accelerator: str
    kernels: tuple[str, ...]
    tile: Tile
    level: str
    pinned: tuple[str, ...]
    nests: tuple[tuple[Contraction, Mapping], ...]
