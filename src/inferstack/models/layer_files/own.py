"""Our own list of layers, in YAML:

layers:
- {name: qk, kind: matmul, m: 512, k: 64, n: 512, count: 12}
- {name: stem, kind: conv, c: 3, n: 64, h: 224, w: 224, r: 7, s: 7, stride: 2, padding: 3}
"""

from __future__ import annotations

from pathlib import Path

from inferstack.core.errors import InputError
from inferstack.core.yaml import read_yaml
from inferstack.models.layer_spec import LayerSpec, layer


class OwnFormat:
    """See the module."""

    title = "a list of layers (YAML: `layers:`, see the documentation)"

    def recognises(self, path: Path, text: str) -> bool:
        """YAML with the key `layers`."""
        lines = text.splitlines()
        return path.suffix.lower() != ".csv" and any(line.startswith("layers:") for line in lines)

    def read(self, path: Path, text: str) -> tuple[LayerSpec, ...]:
        """See `LayerFormat`."""
        content = read_yaml(path, InputError)
        rows = content.get("layers") if isinstance(content, dict) else None
        if not isinstance(content, dict) or not isinstance(rows, list):
            raise InputError(f"{path}, layers", "is no list of layers")
        for key in content:
            if key != "layers":
                raise InputError(f"{path}, {key}", "unknown key", need="layers, and no other")
        made = []
        for number, row in enumerate(rows):
            where = f"{path}, layers.{number}"
            if not isinstance(row, dict):
                raise InputError(where, "is no layer", got=repr(row)[:60], need="a mapping")
            given = dict(row)
            name, kind = given.pop("name", f"layer{number}"), given.pop("kind", None)
            if not isinstance(name, str) or not isinstance(kind, str):
                raise InputError(where, "needs a kind, and a name of text", need="kind: matmul")
            made.append(layer(where, name, kind, given))
        return tuple(made)


FORMAT = OwnFormat()
