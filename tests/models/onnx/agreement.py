"""What a file gives in ONNX Runtime, beside what our graph of it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.models.onnx.binding import Input, Role
from inferstack.models.onnx.model import OnnxModel, Recovered, open_model
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute

Array = npt.NDArray[Any]
TYPES = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
LARGEST_ID = 90


def kinds(recovered: Recovered) -> dict[str, int]:
    """How many operators of each kind."""
    found: dict[str, int] = {}
    for operator in recovered.graph.operators:
        found[operator.kind] = found.get(operator.kind, 0) + 1
    return found


def disagreement(
    path: Path, scenario: Scenario, *, padded: bool = True, runs: Path | None = None
) -> tuple[float, Recovered]:
    """The largest difference of any output, over its largest value, where tokens are no padding.

    runs: another file for ONNX Runtime. The second sentence has padding behind it.
    """
    import onnxruntime

    model = open_model(path)
    recovered = model.recovered(scenario, valued=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # As the file says, not as the runtime rounds it.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(runs or path), options)
    theirs, ours = _feeds(model, recovered, scenario, session, padded=padded)
    expected = session.run(list(recovered.outputs), theirs)
    made = execute(recovered.graph, {n: v for n, v in ours.items() if n in recovered.graph.inputs})
    worst = 0.0
    for name, one in zip(recovered.outputs, expected, strict=True):
        mine = recovered.as_onnx(name, made)
        assert mine.shape == one.shape, name
        difference = np.abs(mine - one.astype(np.float64))
        if padded and one.ndim == 3 and one.shape[1] == scenario.new_tokens and "mask" in ours:
            difference = difference * ours["mask"][:, -scenario.new_tokens :, None]
        worst = max(worst, float(difference.max() / max(1.0, np.abs(one).max())))
    return worst, recovered


def _feeds(
    model: OnnxModel, recovered: Recovered, scenario: Scenario, session: Any, *, padded: bool
) -> tuple[dict[str, Array], dict[str, Array]]:
    generator = np.random.default_rng(0)
    theirs: dict[str, Array] = {}
    ours: dict[str, Array] = {}
    for one in session.get_inputs():
        given = next(i for i in model.inputs if i.port.name == one.name)
        name, typed = recovered.inputs[one.name], TYPES[one.type]
        value = _value(given, recovered, scenario, generator, padded=padded)
        theirs[one.name] = np.ascontiguousarray(value).astype(typed)
        if given.role is Role.CACHE:
            batch, heads, context, width = value.shape
            value = value.transpose(0, 2, 1, 3).reshape(batch, context, heads * width)
        elif given.role is Role.SIGNAL:
            value = value[:, :, None]
        ours[name] = value.astype(np.float32 if value.dtype.kind == "f" else np.int64)
    return theirs, ours


def _value(
    given: Input,
    recovered: Recovered,
    scenario: Scenario,
    generator: np.random.Generator,
    *,
    padded: bool,
) -> Array:
    batch, tokens, context = scenario.batch, scenario.new_tokens, scenario.context_tokens
    if given.role is Role.IDS:
        return generator.integers(5, LARGEST_ID, (batch, tokens))
    if given.role is Role.TOKEN_TYPES:
        return generator.integers(0, 2, (batch, tokens))
    if given.role is Role.POSITIONS:
        return np.broadcast_to(np.arange(context, context + tokens), (batch, tokens))
    if given.role in (Role.MASK, Role.SOURCE_MASK):
        seen = context + tokens if given.role is Role.MASK else scenario.read_tokens
        mask = np.ones((batch, seen), dtype=np.int64)
        if padded:
            mask[1, seen // 2 :] = 0
        return mask
    if given.role is Role.CACHE:
        axes = given.port.axes or ()
        heads, width = (axis for axis in axes if isinstance(axis, int))
        return generator.standard_normal((batch, heads, context, width))
    shape = recovered.graph.tensors[recovered.inputs[given.port.name]].shape
    value = generator.standard_normal(shape) * 0.5
    return value[:, :, 0] if given.role is Role.SIGNAL else value
