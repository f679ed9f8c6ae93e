"""Layers by themselves: flags and files of other tools, against hand-worked counts."""

from __future__ import annotations

from pathlib import Path

import pytest

import inferstack as ist
from inferstack.core.errors import InferStackError
from inferstack.mapping.kernels import kernels_of
from inferstack.models.layer_spec import parsed

CONVOLUTIONS = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, "
    """Strides,
Conv1, 230, 230, 7, 7, 3, 64, 2,

Conv2, 58, 58, 3, 3, 64, 64, 1,
"""
)
CNN = """problem:
  shape:
    name: CNN-Layer
    dimensions: [C, M, R, S, N, P, Q]
    coefficients: [{name: Wstride, default: 1}, {name: Hstride, default: 1}]
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]], [[R]], [[S]]]}
    - {name: Inputs, projection: [[[N]], [[C]], [[R], [P, Wstride]], [[S], [Q, Hstride]]]}
    - {name: Outputs, projection: [[[N]], [[M]], [[Q]], [[P]]], read_write: true}
  instance: {C: 16, M: 32, R: 3, S: 3, N: 2, P: 8, Q: 8, Hstride: 2, Wstride: 2}
"""
OWN = """layers:
- {name: qk, kind: matmul, m: 512, k: 64, n: 512, count: 12}
- {kind: conv, c: 8, n: 16, h: 6, w: 6, r: 3, s: 3, padding: 1, groups: 2}
"""


def macs(model: ist.Model) -> dict[str, int]:
    """Multiply-accumulates by layer, of one occurrence."""
    found = kernels_of(model.graph()).kernels
    return {one.name: one.contraction.macs for one in found if one.contraction is not None}


def test_flags_are_layers() -> None:
    made = ist.layers(
        "matmul:m=5,k=7,n=3", "conv:c=4,n=6,h=8,w=10,r=3,s=3,stride=2,padding=1,batch=2"
    )
    assert macs(made) == {"matmul0": 5 * 7 * 3, "conv1": 2 * 6 * (4 * 5) * 4 * 9}
    assert made.map("peers-target", perfect=True).cycles > 0


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # (230 - 7) / 2 + 1 = 112 outputs along each side: valid filters over a padded image.
        ("r.csv", CONVOLUTIONS, {"Conv1": 112**2 * 64 * 3 * 49, "Conv2": 56**2 * 64 * 64 * 9}),
        ("g.csv", "Layer, M, N, K,\nqk, 512, 256, 64,\n", {"qk": 512 * 256 * 64}),
        ("c.yaml", CNN, {"CNN-Layer": 2 * 32 * 64 * 16 * 9}),
        ("o.yaml", OWN, {"qk": 512 * 64 * 512, "layer1": 36 * 16 * 4 * 9}),
    ],
    ids=["SCALE-Sim convolutions", "SCALE-Sim products", "Timeloop CNN layer", "ours"],
)
def test_files_of_layers(tmp_path: Path, name: str, text: str, expected: dict[str, int]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert macs(ist.load(str(path))) == expected
    counts = ist.load(str(path)).count()
    repeats = {"qk": 12} if name == "o.yaml" else {}
    total = sum(2 * n * repeats.get(layer, 1) for layer, n in expected.items())
    assert sum(row["flops"] for row in counts.records()) == total


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "Layer, M, N, K,\nqk, 512, x, 64,\n",
            "line 2, column 3 (n): is no size; got 'x'",
        ),
        (
            "a.csv",
            "Layer, M, N, K,\nqk, 512,\n",
            "line 2: has too few columns; got 1",
        ),
        ("a.csv", "Layer, M, N,\n", "line 1: is no header of a SCALE-Sim topology"),
        ("a.csv", "Layer, M, N, K,\nq, 1, 1, 1,\nq, 1, 1, 1,\n", "two layers share a name; got q"),
        ("a.csv", "", "is empty"),
        ("a.csv", "Layer, M, N, K,\n", "has no layers"),
        ("a.yaml", "layers:\n- {kind: matmul, m: 1, k: 1, nn: 1}\n", "did you mean 'n'?"),
        (
            "a.yaml",
            "layers:\n- {kind: matmul, m: 0, k: 1, n: 1}\n",
            "layers.0, m: is no size",
        ),
        ("a.yaml", "layer: 3\n", "is no file of layers that is known; need a list of layers"),
        ("a.yaml", "problem: {shape: cnn.yaml}\n", "problem.shape: is no mapping; need a mapping"),
    ],
)
def test_each_mistake_has_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InferStackError) as caught:
        ist.load(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("matmul", "is no layer; need KIND:SIZE=N"),
        ("matmul:m=1,k=2", "a matmul needs n"),
        ("matmul:m=1,k=2,n=-3", "n: is no size; got -3"),
        ("matmul:m=1,m=2,k=1,n=1", "a size is given twice; got m"),
        ("matmull:m=1", "did you mean 'matmul'?"),
        ("conv:c=1,n=1,h=1,w=1,r=1,s=1,strid=2", "did you mean 'stride'?"),
    ],
)
def test_each_mistake_in_a_flag_has_its_message(text: str, message: str) -> None:
    with pytest.raises(InferStackError) as caught:
        parsed(text, 0)
    assert message in str(caught.value)


GEMM = """problem:
  shape:
    dimensions: [M, N, K]
    data_spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [[[K]], [[N]]]}
    - {name: Z, projection: [[[M]], [[N]]], read_write: true}
  instance: {M: 5, N: 7, K: 3}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("K: 3}", "K: 3, L: 3}", "unknown key"),
        ("K: 3}", "K: -3}", "instance.K: is no size"),
        (", K: 3", "", "lacks the dimension K"),
        ("[[[K]], [[N]]]", "[[[K]], [[J]]]", "unknown dimension"),
        ("[[[K]], [[N]]]", "[[[K]], [[N]], [[M]]]", "no layer that is read"),
        ("[M, N, K]", "3", "is no list"),
        (", read_write: true", "", "are no layer"),
    ],
)
def test_a_problem_is_what_its_projections_say(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "gemm.yaml"
    path.write_text(GEMM, encoding="utf-8")
    assert macs(ist.load(path)) == {"gemm": 105}
    path.write_text(GEMM.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InferStackError, match=said):
        ist.load(path)


def test_the_default_of_a_coefficient_counts(tmp_path: Path) -> None:
    path = tmp_path / "cnn.yaml"
    text = CNN.replace("default: 1", "default: 2").replace(", Hstride: 2, Wstride: 2", "")
    path.write_text(text, encoding="utf-8")
    (one,) = ist.load(path).graph().operators
    assert one.attributes["stride"] == 2


def test_no_name_of_a_layer_leads_out_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("Layer, M, N, K,\n../../up, 1, 2, 3,\na.input,1,1,1\na,1,1,1\n")
    assert macs(ist.load(path)) == {"up": 6, "a.input": 1, "a": 1}


def test_a_kernel_larger_than_its_image_is_an_error_of_the_row(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(CONVOLUTIONS.replace("58, 58", "2, 58"), encoding="utf-8")
    with pytest.raises(InferStackError, match="line 4: the kernel does not fit the image"):
        ist.load(path)


def test_a_file_that_is_no_list_of_layers_is_told_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "paper.txt"
    path.write_text("other: 1", encoding="utf-8")
    with pytest.raises(InferStackError, match=r"need a list of layers.*SCALE-Sim.*Timeloop"):
        ist.load(path)
