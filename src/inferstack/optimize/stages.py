"""Results of slow steps on disk, so that a run that was stopped goes on where it was.

A stage is an array under a key that names everything it depends on. What cannot be read is computed
again; two processes may share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack import __version__
from inferstack.core.files import write_atomically

if TYPE_CHECKING:
    import numpy.typing as npt

    from inferstack.ir.graph import Graph

    Array = npt.NDArray[Any]


def digest(*parts: bytes | str | int) -> str:
    """A key of these parts, in this order."""
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        made.update(len(data).to_bytes(8, "little") + data)
    return made.hexdigest()


def digest_of_graph(graph: Graph) -> str:
    """A key of all that decides what an executable graph computes: operators, shapes, values."""
    parts: list[bytes | str] = [repr((graph.inputs, graph.outputs))]
    for operator in graph.operators:
        inputs, attributes = sorted(operator.inputs.items()), sorted(operator.attributes.items())
        parts.append(repr((operator.kind, inputs, operator.output, attributes)))
    for name in sorted(graph.tensors):
        tensor = graph.tensors[name]
        parts.append(repr((name, tensor.shape, tensor.dtype.value)))
        parts += [values.tobytes() for values in (tensor.scale, tensor.data) if values is not None]
    return digest(*parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The folder that keeps them."""

    folder: Path

    def array(self, what: str, key: str, rows: int, compute: Callable[[], Array]) -> Array:
        """The stored array (rows, ...) of that key, or what `compute` gives, then stored."""
        import numpy as np

        path = self.folder / f"{what}-{digest(key, __version__)}.npy"
        try:
            stored: Array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            pass
        else:
            if stored.ndim > 0 and len(stored) == rows:
                return stored
        made = compute()
        buffer = io.BytesIO()
        np.save(buffer, made, allow_pickle=False)
        # What cannot be kept is computed again by the next run; this one goes on.
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, buffer.getvalue())
        return made
