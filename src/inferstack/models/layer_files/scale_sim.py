"""Topologies of SCALE-Sim: CSV with a header, a layer a row, a comma at the end of each.

Convolutions: Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num
Filter, Strides. The image includes its padding, and strides count in both directions; filters are
valid: (height - filter) / stride + 1 outputs. Products: Layer, M, N, K. Further columns (sparsity)
are refused where they ask for anything, as they would change the work.
Source: scalesim-project/scale-sim-v2, README and topologies/.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from inferstack.core.errors import InputError
from inferstack.models.layer_spec import LayerSpec, layer

CONVOLUTION = (
    "ifmap height", "ifmap width", "filter height", "filter width", "channels", "num filter",
    "strides",
)  # fmt: skip
PRODUCT = ("m", "n", "k")
KEYS = ("h", "w", "r", "s", "c", "n", "stride")


class ScaleSimFormat:
    """See the module."""

    title = "a topology of SCALE-Sim (CSV: convolutions of padded images, or Layer, M, N, K)"

    def recognises(self, path: Path, text: str) -> bool:
        """A CSV."""
        return path.suffix.lower() == ".csv"

    def read(self, path: Path, text: str) -> tuple[LayerSpec, ...]:
        """See `LayerFormat`."""
        rows = [
            (number, [cell.strip() for cell in row])
            for number, row in enumerate(csv.reader(io.StringIO(text)), start=1)
            if any(cell.strip() for cell in row)
        ]
        if not rows:
            raise InputError(str(path), "is empty")
        number, header = rows[0]
        columns = self._columns(path, number, [" ".join(c.lower().split()) for c in header])
        return tuple(self._layer(path, *row, columns) for row in rows[1:])

    def _columns(self, path: Path, number: int, header: list[str]) -> tuple[str, ...]:
        """The sizes' names, behind the layer's."""
        names = [name for name in header if name]
        for wanted in (CONVOLUTION, PRODUCT):
            if tuple(names[1 : 1 + len(wanted)]) == wanted and names[0] in ("layer", "layer name"):
                return tuple(names[1:])
        raise InputError(
            f"{path}, line {number}", "is no header of a SCALE-Sim topology",
            got=", ".join(names)[:80],
            need="Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, "
            "Num Filter, Strides; or Layer, M, N, K",
        )  # fmt: skip

    def _layer(
        self, path: Path, number: int, row: list[str], columns: tuple[str, ...]
    ) -> LayerSpec:
        where = f"{path}, line {number}"
        while row and not row[-1]:
            row.pop()
        name, cells = row[0] if row else "", row[1:]
        if not name:
            raise InputError(where, "a layer has no name")
        sizes: list[int] = []
        width = len(PRODUCT) if columns[: len(PRODUCT)] == PRODUCT else len(CONVOLUTION)
        for column, cell in zip(columns, cells, strict=False):
            if len(sizes) == width:
                if cell not in ("", "1:1", "0"):
                    raise InputError(
                        f"{where}, {column}", "would change the work, and is not read", got=cell
                    )
                continue
            if not (cell.isascii() and cell.isdigit() and len(cell) <= 9):
                raise InputError(
                    f"{where}, column {len(sizes) + 2} ({column})",
                    "is no size",
                    got=repr(cell[:20]),
                    need="a whole number",
                )
            sizes.append(int(cell))
        if len(sizes) < width:
            raise InputError(
                where, "has too few columns", got=len(sizes), need=", ".join(columns[:width])
            )
        if width == len(PRODUCT):
            return layer(where, name, "matmul", dict(zip(PRODUCT, sizes, strict=True)))
        return layer(where, name, "conv", dict(zip(KEYS, sizes, strict=True)))


FORMAT = ScaleSimFormat()
