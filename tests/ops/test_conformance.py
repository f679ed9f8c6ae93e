"""Every operator keeps the promises of the kit, and the kit convicts those that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckFailedError
from inferstack.ir.graph import Tensor
from inferstack.ops.matmul import MatmulRule
from inferstack.ops.quantization import exponential_attributes, gelu_attributes, layernorm_tables
from inferstack.ops.registry import rules
from inferstack.ops.rule import OUTPUT, IterationSpace, simple
from inferstack.ops.unit_length import UnitLengthRule
from inferstack.testing.ops import OperatorExample, check_rule

Array = npt.NDArray[Any]


def real(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def int8(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).integers(-127, 128, shape).astype(np.int8)


def int32(*shape: int, largest: int = 2**16) -> Array:
    random = np.random.default_rng(shape)
    return random.integers(-largest, largest, shape).astype(np.int32)


def ids(*shape: int, below: int) -> Array:
    return np.random.default_rng(shape).integers(0, below, shape)


def tables(prefix: str = "", shift: int = 38) -> dict[str, Array]:
    return {
        f"{prefix}multiplier": np.array([2**30 + 12345], dtype=np.int32),
        f"{prefix}shift": np.array([shift], dtype=np.int32),
    }


def example(
    inputs: Mapping[str, Array],
    batched: str,
    *,
    unread: str = "",
    outside: str = "",
    given: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> OperatorExample:
    return OperatorExample(
        inputs=inputs,
        batched=frozenset(batched.split()),
        attributes={**(given or {}), **attributes},
        outside=frozenset(outside.split()),
        unread=frozenset(unread.split()),
    )


MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
HEADS = {"heads": 4, "kv_heads": 2}
IMAGE = real(2, 4, 7, 6)
NORM_TABLES = layernorm_tables(
    real(8), real(8, seed=1), epsilon=1e-12, input_scale=0.0001, output_scale=0.02
)

EXPONENTIAL = exponential_attributes()
ANGLES = {"cosine": int32(3, 3, largest=2**14), "sine": int32(3, 3, largest=2**14)}

ROUTES = np.array([[[0, 0.5, 0.5, 0], [0.7, 0, 0, 0.3], [0.1, 0.9, 0, 0]]] * 2, dtype=np.float32)

EXAMPLES: dict[str, list[OperatorExample]] = {
    "add": [
        example({"a": real(2, 3, 4), "b": real(2, 3, 4, seed=1)}, "a b"),
        example({"a": real(2, 3, 4), "b": real(4)}, "a"),
        example({"a": real(2, 3, 4), "b": real(2, 1, 4)}, "a b"),
        example({"a": int32(2, 3, 4), "b": int8(2, 3, 4), **tables("b_", 20)}, "a b"),
    ],
    "alibi": [
        example({"x": real(2, 4, 3, 5)}, "x"),
        example({"x": real(2, 6, 1, 5)}, "x", scale=0.5),
    ],
    "append_cache": [
        example({"cache": real(2, 3, 4), "x": real(2, 1, 4)}, "cache x", unread="cache"),
        example({"cache": int8(2, 3, 4), "x": int8(2, 2, 4)}, "cache x", unread="cache"),
    ],
    "attention_context": [
        example(
            {"probabilities": real(2, 4, 3, 5), "value": real(2, 5, 6)},
            "probabilities value",
            given=HEADS,
        ),
        example(
            {"probabilities": np.abs(int8(2, 4, 3, 5)), "value": int8(2, 5, 6)},
            "probabilities value",
            given=HEADS,
        ),
        example(
            {"probabilities": np.abs(int8(2, 4, 3, 5)), "value": int8(2, 5, 6), **tables()},
            "probabilities value",
            given=HEADS,
        ),
    ],
    "attention_scores": [
        example(
            {"query": real(2, 3, 12), "key": real(2, 5, 6)}, "query key", scale=1.0, given=HEADS
        ),
        example(
            {"query": int8(2, 3, 12), "key": int8(2, 5, 6)}, "query key", scale=1.0, given=HEADS
        ),
    ],
    "batchnorm": [
        example(
            {"x": IMAGE, "gamma": real(4), "beta": real(4, seed=1), "mean": real(4, seed=2)}
            | {"variance": np.abs(real(4, seed=3))},
            "x",
            epsilon=1e-5,
        )
    ],
    "clip": [example({"x": real(2, 3, 4)}, "x", limit=0.5)],
    "combine": [
        example({"x": real(2, 6, 4), "routes": ROUTES}, "x routes", unread="routes", active=2)
    ],
    "concatenate": [
        example({"a": real(2, 3), "b": real(2, 4)}, "a b", outside="a b"),
        example({"a": real(2, 3, 5), "b": real(2, 3, 1)}, "a b", outside="a b"),
    ],
    "conv2d": [
        example(
            {"x": real(2, 4, 1, 7), "weight": real(6, 2, 1, 4)},
            "x",
            outside="x",
            padding=2,
            end_padding=1,
            row_padding=0,
            groups=2,
        ),
        example(
            {"x": real(2, 4, 1, 7), "weight": real(5, 4, 1, 3)},
            "x",
            outside="x",
            padding=1,
            row_padding=0,
            stride=2,
        ),
        example({"x": IMAGE, "weight": real(6, 4, 3, 2), "bias": real(6)}, "x"),
        example({"x": IMAGE, "weight": real(6, 4, 3, 3)}, "x", outside="x", padding=1, stride=2),
        example(
            {"x": IMAGE, "weight": real(6, 2, 3, 3), "bias": real(6)},
            "x",
            outside="x",
            padding=2,
            dilation=2,
            groups=2,
        ),
    ],
    "dequantize": [
        example({"x": int8(2, 3, 4), "scale": np.array([0.1])}, "x"),
        example({"x": int32(2, 3, 4), "scale": np.abs(real(4)).astype(np.float64)}, "x"),
    ],
    "dispatch": [
        example({"x": real(2, 3, 4), "routes": ROUTES}, "x routes", unread="routes", active=2)
    ],
    "distance_scores": [
        example({"x": real(2, 3, 5, 5), "by_row": real(2, 3, 5, 6)}, "x by_row", unread="by_row"),
        example(
            {"x": real(2, 3, 9, 9), "by_row": real(2, 3, 9, 8)},
            "x by_row",
            unread="by_row",
            buckets=4,
            longest=9,
            of_keys=True,
        ),
        example(
            {"x": real(2, 3, 5, 5), "by_row": real(2, 3, 5, 10)},
            "x by_row",
            unread="by_row",
            ahead=True,
        ),
    ],
    "embedding": [
        example({"table": real(9, 4), "ids": ids(2, 5, below=9)}, "ids", unread="table"),
        example({"table": int8(9, 4), "ids": ids(2, 5, below=9)}, "ids", unread="table"),
    ],
    "expert_matmul": [
        example(
            {"a": real(2, 6, 4), "b": real(4, 4, 5), "bias": real(4, 5), "routes": ROUTES},
            "a routes",
            unread="routes",
            active=2,
        ),
        # Six rows over four experts: two have one less.
        example(
            {"a": real(2, 3, 4), "b": real(4, 4, 5), "routes": ROUTES},
            "a routes",
            unread="routes",
            active=1,
        ),
    ],
    "gelu": [
        example({"x": real(2, 3, 4)}, "x", approximate="none"),
        example({"x": real(2, 3, 4)}, "x", approximate="tanh"),
        example({"x": real(2, 3, 4)}, "x", approximate="quick"),
        example(
            {"x": int32(2, 3, 4), **tables(shift=34), **tables("out_", 44)},
            "x",
            given=gelu_attributes(0.001)[0],
        ),
    ],
    "global_average_pool": [example({"x": IMAGE}, "x")],
    "join_heads": [
        example(
            {"own": real(2, 3, 8), "common": real(2, 3, 2)},
            "own common",
            outside="own common",
            heads=2,
        )
    ],
    "layernorm": [
        example(
            {"x": real(2, 3, 8), "gamma": real(8), "beta": real(8, seed=1)}, "x", epsilon=1e-12
        ),
        example({"x": real(2, 3, 8), "gamma": real(8)}, "x", epsilon=1e-5),
        example({"x": real(2, 3, 8), "gamma": real(4)}, "x", epsilon=1e-5, width=4),
        example({"x": real(2, 3, 8), "gamma": real(2, 4)}, "x", epsilon=1e-5, width=4),
        example(
            {"x": int32(2, 3, 8), "gamma": NORM_TABLES[0], "beta": NORM_TABLES[1]},
            "x",
            given=NORM_TABLES[2],
        ),
    ],
    "matmul": [
        example({"a": real(2, 3, 4), "b": real(4, 5), "bias": real(5)}, "a"),
        example({"a": real(2, 3, 4), "b": real(5, 4)}, "a", transpose_b=True),
        example({"a": int8(2, 3, 4), "b": int8(4, 5), "bias": int32(5)}, "a"),
        example({"a": int8(2, 3, 4), "b": int8(5, 4)}, "a", transpose_b=True),
        example({"a": int8(2, 3, 4), "b": int8(4, 5), **tables()}, "a"),
    ],
    "max_pool": [
        example({"x": IMAGE}, "x", outside="x", kernel=3, stride=2, padding=1),
        example({"x": IMAGE}, "x", kernel=2, stride=1, padding=0),
    ],
    "mean_pool": [
        example({"x": real(2, 5, 4), "mask": MASK}, "x mask"),
        example({"x": real(2, 5, 4), "mask": MASK}, "x mask", normalize=True),
    ],
    "multiply": [
        example({"a": real(2, 3, 4), "b": real(2, 3, 4, seed=1)}, "a b"),
        example({"a": real(2, 3, 4), "b": real(2, 3, 1)}, "a b"),
        example({"a": int32(2, 3, 4), "b": int8(2, 3, 4), **tables("a_"), **tables("out_")}, "a b"),
    ],
    "position_bias": [
        example(
            {"x": real(2, 4, 9, 9), "table": real(8, 4)},
            "x",
            unread="table",
            longest=6,
            both_ways=True,
        ),
        example(
            {"x": real(2, 4, 2, 9), "table": real(8, 4)},
            "x",
            unread="table",
            longest=8,
            both_ways=False,
        ),
    ],
    "position_embedding": [
        example({"table": real(9, 4), "ids": ids(2, 5, below=9)}, "ids", first=4),
        example({"table": real(9, 4), "ids": ids(2, 5, below=9)}, "ids"),
        example({"table": real(9, 4), "ids": ids(2, 5, below=9)}, "ids", padding_id=1),
        example({"table": int8(9, 4), "ids": ids(2, 5, below=9)}, "ids"),
    ],
    "prepend": [example({"x": real(2, 3, 4), "table": real(2, 4)}, "x", outside="x table")],
    "quantize": [example({"x": real(2, 3, 4)}, "x", scale=0.02)],
    "relu": [
        example({"x": real(2, 3, 4)}, "x"),
        example({"x": int32(2, 3, 4), **tables()}, "x"),
    ],
    "rmsnorm": [
        example({"x": real(2, 3, 8), "gamma": real(8)}, "x", epsilon=1e-5),
        example({"x": real(2, 3, 8), "gamma": real(2)}, "x", epsilon=1e-5, width=2),
        example({"x": real(2, 3, 8), "gamma": real(4, 2)}, "x", epsilon=1e-5, width=2),
        example({"x": real(2, 3, 8), "gamma": real(1, 8)}, "x", epsilon=1e-5, width=8),
        example({"x": int32(2, 3, 8), "gamma": NORM_TABLES[0]}, "x", given=NORM_TABLES[2]),
        example(
            {"x": int8(2, 3, 8), "gamma": NORM_TABLES[0][:4]}, "x", given=NORM_TABLES[2], width=4
        ),
    ],
    "rotary": [
        example({"x": real(2, 3, 12)}, "x", heads=2, theta=10000.0),
        example({"x": real(2, 1, 8)}, "x", heads=1, theta=500000.0, first=7),
        example({"x": real(2, 3, 12)}, "x", heads=2, theta=1e4, turned=4, interleaved=True),
        example(
            {"x": real(2, 3, 12)}, "x", heads=3, theta=1e4, frequencies=(0.5, 0.1), amplitude=1.2
        ),
        example(
            {"x": int32(2, 3, 12), **ANGLES, **tables(), **tables("out_")},
            "x",
            unread="cosine sine",
            heads=2,
            theta=1e4,
        ),
    ],
    "route": [
        example({"x": real(2, 3, 8)}, "x", active=2, scoring="softmax", normalized=True),
        example({"x": real(2, 3, 8)}, "x", active=3, scoring="chosen"),
        example(
            {"x": real(2, 3, 8), "bias": real(8)},
            "x",
            active=2,
            scoring="sigmoid",
            groups=4,
            open=2,
            factor=2.5,
        ),
    ],
    "scale": [example({"x": real(2, 3, 4)}, "x", factor=0.3)],
    "sigmoid": [example({"x": real(2, 3, 4)}, "x")],
    "segment_scores": [
        example(
            {"x": real(2, 3, 5, 5), "by_row": real(2, 3, 5, 2), "types": MASK},
            "x by_row types",
            unread="by_row",
        ),
    ],
    "silu": [
        example({"x": real(2, 3, 4)}, "x"),
        example({"x": int32(2, 3, 4)}, "x", given=EXPONENTIAL, bits=16),
    ],
    "sinusoids": [example({"like": real(2, 3, 4)}, "like", unread="like", width=6)],
    "softcap": [example({"x": real(2, 3, 4)}, "x", cap=2.0)],
    "softmax": [
        example({"x": real(2, 4, 5, 5)}, "x", causal=True, window=2),
        example({"x": real(2, 4, 5, 5), "mask": MASK}, "x mask", window=2),
        example({"x": real(2, 4, 3, 5), "sinks": real(4)}, "x", causal=True),
        example({"x": real(2, 4, 3, 5), "mask": MASK}, "x mask"),
        example({"x": real(2, 4, 3, 5)}, "x", causal=True),
        example(
            {"x": int32(2, 4, 3, 5), "mask": MASK}, "x mask", given=exponential_attributes(0.0001)
        ),
    ],
    "swiglu_clamped": [
        example({"gate": 5 * real(2, 3, 4), "x": 5 * real(2, 3, 4, seed=1)}, "gate x")
    ],
    "spread_batch": [
        example({"x": real(3, 4), "like": real(2, 5, 4)}, "like", unread="like"),
        example({"x": real(8, 4), "like": real(2, 3, 4)}, "like", unread="like", near=True),
        example({"x": real(8, 4), "like": real(2, 5, 4)}, "like", unread="like", near=True),
    ],
    "to_tokens": [example({"x": IMAGE}, "x")],
    "tanh": [example({"x": real(2, 3, 4)}, "x")],
    "exp": [example({"x": real(2, 3, 4)}, "x")],
    "from_tokens": [example({"x": real(2, 3, 4)}, "x")],
    "groupnorm": [
        example(
            {"x": real(2, 6, 5), "gamma": real(6), "beta": real(6)}, "x", groups=n, epsilon=1e-5
        )
        for n in (1, 3, 6)
    ],
    "mask_tokens": [example({"x": real(2, 5, 4), "mask": MASK}, "x mask")],
    "pick_token": [
        example({"x": real(2, 5, 4)}, "x", at=-1),
        example({"x": real(2, 5, 4)}, "x", at=1),
        example({"x": real(2, 5, 4), "ids": ids(2, 5, below=9)}, "x ids", unread="x ids"),
        example({"x": real(2, 5, 4), "ids": ids(2, 5, below=3)}, "x ids", unread="x ids", id=1),
    ],
    "token_pool": [
        example({"x": real(2, 5, 4), "mask": MASK}, "x mask", mode=mode)
        for mode in ("first", "last", "max", "mean_sqrt_len", "weighted_mean")
    ],
    "unit_length": [example({"x": real(2, 3, 4)}, "x"), example({"x": real(2, 4)}, "x")],
}


def test_every_operator_has_an_example() -> None:
    assert set(EXAMPLES) == set(rules())


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, n) for kind, them in EXAMPLES.items() for n in range(len(them))]
)
def test_operators_keep_their_promises(kind: str, number: int) -> None:
    check_rule(rules()[kind], EXAMPLES[kind][number])


class _WrongShape(MatmulRule):
    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        shape, dtype = super().infer(inputs, attributes)
        return (*shape[:-1], shape[-1] + 1), dtype


class _WrongLoops(MatmulRule):
    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        n, k = output.shape[-1], inputs["a"].shape[-1]
        return IterationSpace(
            dims=(("m", inputs["a"].shape[0]), ("n", n), ("k", k)),
            accesses=(simple("a", "m", "k"), simple("b", "k", "n"), simple(OUTPUT, "m", "n")),
            reductions=self.reduced,
            macs_per_point=1,
        )

    reduced = frozenset({"n"})


class _TransposedLoops(MatmulRule):
    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        space = super().space(inputs, output, attributes)
        a, _, out = space.accesses
        return IterationSpace(
            dims=space.dims,
            accesses=(a, simple("b", "n", "k"), out),
            reductions=space.reductions,
            macs_per_point=1,
        )


class _BatchMixing(MatmulRule):
    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        result: Array = super().reference(inputs, attributes)
        result -= result.mean(axis=0)
        return result


class _Overwriting(MatmulRule):
    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        result = super().reference(inputs, attributes)
        inputs["a"][:] = 0
        return result


@pytest.mark.parametrize(
    ("rule", "b", "message"),
    [
        (_WrongShape, (4, 5), r"it infers .*\(2, 6\).* and computes .*\(2, 5\)"),
        (_WrongLoops, (4, 5), "8 steps outside the reductions write 10 elements"),
        (_TransposedLoops, (4, 4), "its loops, executed, do not give its result"),
        (_TransposedLoops, (4, 5), "axis 0 of b is read from 0 to 4 of 4"),
        (_BatchMixing, (4, 5), "sample 0 alone gives another result"),
        (_Overwriting, (4, 5), "it changes its inputs"),
    ],
)
def test_the_kit_convicts(rule: Callable[[], MatmulRule], b: tuple[int, int], message: str) -> None:
    with pytest.raises(CheckFailedError, match=message):
        check_rule(rule(), example({"a": real(2, 4), "b": real(*b)}, "a"))


def test_the_kit_wants_the_slots_of_the_rule() -> None:
    with pytest.raises(CheckFailedError, match="the example's slots are"):
        check_rule(MatmulRule(), example({"a": real(2, 4)}, "a"))


class _RowByElement(UnitLengthRule):
    whole_rows: ClassVar[bool] = False


def test_the_kit_finds_rows_that_are_read_again() -> None:
    with pytest.raises(CheckFailedError, match="needs its whole row, and `whole_rows` does not"):
        check_rule(_RowByElement(), example({"x": real(2, 3, 4)}, "x"))
