"""`gemmini_params.h`, the header that Gemmini's generator writes, as a machine file.

What the header says becomes numbers with it as their source: the array, the memories, the widths,
the largest request. What it does not say (bus, latencies, queues, energy per MAC) is the library's
gemmini.
Source: ucb-bar/gemmini-rocc-tests, include/gemmini_params.h.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from inferstack.core.errors import AcceleratorError
from inferstack.hardware.c_constant import constant

LARGEST_BYTES = 2**20
NEEDED = ("DIM", "BANK_NUM", "BANK_ROWS", "ACC_ROWS", "MAX_BYTES")
MOST = 2**24
OPERAND_BITS = 8
SRAM_PJ, SRAM_BYTES = 1.25, 8192
"""Energy per byte of an SRAM of 8 KiB; it grows with the square root of the capacity."""
_DEFINE = re.compile(r"^\s*#\s*define\s+(\w+)(?:[ \t]+(.*?))?\s*(?://.*|/\*.*)?$", re.MULTILINE)
_TYPE = re.compile(r"^\s*typedef\s+(\w+)\s+(elem_t|acc_t)\s*;", re.MULTILINE)
_INTEGER = re.compile(r"u?int(8|16|32|64)_t")


def machine_of_header(path: Path) -> dict[str, Any]:
    """A description, over what it extends. Raises AcceleratorError naming the macro."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise AcceleratorError(str(path), "is too long for a header of parameters")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise AcceleratorError(str(path), "cannot be read", got=type(failure).__name__) from None
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    found = _DEFINE.findall(text)
    defined = dict(found)
    for name in NEEDED:
        if len({value for known, value in found if known == name}) > 1:
            raise AcceleratorError(f"{path}, {name}", "is defined twice, as different values")
    sizes = {name: _size(path, name, defined) for name in NEEDED}
    widths = {name: kind for kind, name in _TYPE.findall(text)}
    element, sums = (_bits(path, name, widths.get(name)) for name in ("elem_t", "acc_t"))
    return _description(path, sizes, element, sums, units="HAS_NORMALIZATIONS" in defined)


def _size(path: Path, name: str, defined: dict[str, str]) -> int:
    """A macro's value: a constant expression of whole numbers and of other macros."""
    if name not in defined:
        raise AcceleratorError(
            f"{path}, {name}", "is not defined", need="#define " + ", ".join(NEEDED),
            hint="give the gemmini_params.h that Gemmini's generator writes",
        )  # fmt: skip
    try:
        size = constant(name, defined)
    except ValueError as failure:
        raise AcceleratorError(
            f"{path}, {name}", f"is no size: {failure}",
            got=defined[name].strip()[:60] or "nothing", need="a whole number",
        ) from None  # fmt: skip
    if not 1 <= size <= MOST:
        raise AcceleratorError(
            f"{path}, {name}", "is out of range", got=f"{size:,}", need=f"1 to {MOST:,}"
        )
    return size


def _bits(path: Path, name: str, kind: str | None) -> int:
    found = None if kind is None else _INTEGER.fullmatch(kind)
    if found is None:
        raise AcceleratorError(
            f"{path}, {name}", "is no integer type", got=kind, need=f"typedef int8_t {name};",
            hint="machines here compute in integers",
        )  # fmt: skip
    if name == "elem_t" and int(found[1]) != OPERAND_BITS:
        raise AcceleratorError(
            f"{path}, {name}", "operands of this width are not modelled", got=kind, need="int8_t",
            hint="schedules and programs here move operands of 8 bits, and sums of 32",
        )  # fmt: skip
    return int(found[1])


def _description(
    path: Path, sizes: dict[str, int], element: int, sums: int, *, units: bool
) -> dict[str, Any]:
    dim = sizes["DIM"]
    memories = {
        "scratchpad": sizes["BANK_NUM"] * sizes["BANK_ROWS"] * dim * element // 8,
        "accumulator": sizes["ACC_ROWS"] * dim * sums // 8,
    }
    levels: dict[str, Any] = {}
    for name, capacity in memories.items():
        energy = round(SRAM_PJ * math.sqrt(capacity / SRAM_BYTES), 4)
        levels[name] = {
            "capacity_bytes": [capacity, "header"],
            "read_pj_per_byte": [energy, "header-energy"],
            "write_pj_per_byte": [energy, "header-energy"],
            "partial_sum_bits": [sums, "header"],
        }
    return {
        "extends": "gemmini-ibert" if units else "gemmini",
        "name": re.sub(r"\W+", "-", path.stem) or "gemmini",
        "description": f"A Gemmini of {dim}x{dim}, {element}-bit operands and {sums}-bit sums, "
        f"from {path.name}; bus, latencies and queues are those of the library's gemmini.",
        "sources": {
            "header": {
                "claim": "published",
                "text": f"{path.name}, written by Gemmini's generator",
            },
            "header-fill": {"claim": "derived", "text": f"{path.name}: DIM + DIM - 1"},
            "header-energy": {
                "claim": "assumed",
                "text": "1.25 pJ per byte at 8 KiB, times sqrt(capacity / 8 KiB), as the library's",
            },
        },
        "levels": levels,
        "array": {
            "rows": [dim, "header"],
            "columns": [dim, "header"],
            "pass_cycles": [dim, "header"],
            "fill_cycles": [2 * dim - 1, "header-fill"],
        },
        "dma": {"request_bytes": [sizes["MAX_BYTES"], "header"]},
    }
