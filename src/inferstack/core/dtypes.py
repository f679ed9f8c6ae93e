"""Element types: their width in bits, and the numpy type that holds them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class DType(Enum):
    """An element type; the value is its name in files."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT64 = "int64"
    INT32 = "int32"
    INT16 = "int16"
    INT8 = "int8"
    INT4 = "int4"
    BOOL = "bool"

    @property
    def bits(self) -> int:
        """Width of one element in memory, in bits."""
        return _BITS[self]

    @property
    def is_integer(self) -> bool:
        """Whether values are exact integers."""
        return self.value.startswith("int")

    def size_bytes(self, elements: int) -> int:
        """Bytes of `elements` packed elements, rounded up to a whole byte."""
        return -(-elements * self.bits // 8)

    def numpy(self) -> np.dtype[np.generic]:
        """The numpy type that holds a value (int4 in int8, bfloat16 in float32)."""
        import numpy as np

        holder = {DType.INT4: "int8", DType.BFLOAT16: "float32"}.get(self, self.value)
        return np.dtype(holder)


_BITS = {
    DType.FLOAT64: 64,
    DType.FLOAT32: 32,
    DType.FLOAT16: 16,
    DType.BFLOAT16: 16,
    DType.INT64: 64,
    DType.INT32: 32,
    DType.INT16: 16,
    DType.INT8: 8,
    DType.INT4: 4,
    DType.BOOL: 8,
}
