"""What a handler does not read is refused, not ignored."""

from __future__ import annotations

from inferstack.models.onnx.file import Node
from inferstack.models.onnx.recovery import Recovery


def refuse(recovery: Recovery, node: Node, names: tuple[str, ...]) -> None:
    """Raises CheckpointError for attributes that change what it computes."""
    for name in names:
        value = node.attributes.get(name)
        if value not in (None, 0, -1, 0.0, -1.0, b""):
            raise recovery.error(
                node, f"has {name}, which is not read", got=value, need="0, or none"
            )


def absent(recovery: Recovery, node: Node, numbers: dict[int, str]) -> None:
    """Raises CheckpointError for inputs that are not read."""
    for number, name in numbers.items():
        if node.input(number) is not None:
            raise recovery.error(node, f"has the input {name}, which is not read")
