"""ResNet-50: its size, and its shapes and values at a tiny size against torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inferstack.analysis.convention import Site
from inferstack.core.errors import InputError
from inferstack.ir.graph import TensorRole
from inferstack.models.architecture import build, no_weights, random_weights
from inferstack.models.resnet import ResNetArchitecture, ResNetConfig
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute

TINY = ResNetConfig(blocks=(2, 1, 2, 1), width=8, classes=5, image_size=64)


def test_resnet50_has_the_published_number_of_parameters() -> None:
    model = build("resnet50", Scenario.encode(1), unrolled=True)
    weights = [t for t in model.tensors.values() if t.role is TensorRole.WEIGHT]
    running = sum(t.elements for t in weights if t.name.endswith((".mean", ".variance")))
    assert sum(t.elements for t in weights) - running == 25_557_032


def test_a_graph_for_analysis_stands_for_the_whole_network() -> None:
    whole = build("resnet50", Scenario.encode(1), unrolled=True)
    short = build("resnet50", Scenario.encode(1))
    assert sum(short.repeat(operator) for operator in short.operators) == len(whole.operators)


def macs(name: str) -> int:
    """Multiply-accumulates of one image of 224 x 224."""
    graph = build(name, Scenario.encode(1))
    spaces = ((graph.repeat(one), Site.of(graph, one).space) for one in graph.operators)
    return sum(repeats * space.points * space.macs_per_point for repeats, space in spaces)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # He et al. 2015, table 1, without the shortcuts and the classifier: 3.8, 7.6, 11.3.
        ("resnet50-v1", 3.8),
        ("resnet101-v1", 7.6),
        ("resnet152-v1", 11.3),
        # torchvision's own table of models ("GFLOPS", multiply-accumulates): 4.09, 7.80, 11.51.
        ("resnet50-v1.5", 4.09),
        ("resnet101-v1.5", 7.80),
        ("resnet152-v1.5", 11.51),
    ],
)
def test_multiply_accumulates_are_the_published_ones(name: str, published: float) -> None:
    assert macs(name) / 1e9 == pytest.approx(published, rel=0.016 if "v1.5" not in name else 2e-3)


def test_a_name_without_a_version_is_the_papers() -> None:
    assert macs("resnet50") == macs("resnet50-v1") == 3_857_973_248
    assert macs("resnet50-v1.5") == 4_089_184_256


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["v1", "v1.5"])
def test_a_tiny_resnet_equals_torch(late: bool) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    graph = ResNetArchitecture().build(
        "tiny",
        replace(TINY, stride_in_3x3=late),
        Scenario.encode(1, batch=2),
        random_weights(3),
        unrolled=True,
    )
    image = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    ours = execute(graph, {"image": image})["classifier"]
    w: dict[str, Any] = {
        name: torch.from_numpy(t.data) for name, t in graph.tensors.items() if t.data is not None
    }

    def convolution(name: str, x: Any, stride: int) -> Any:
        kernel = w[f"{name}.weight"]
        x = torch.nn.functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)
        slots = (w[f"{name}_norm.{slot}"] for slot in ("mean", "variance", "gamma", "beta"))
        return torch.nn.functional.batch_norm(x, *slots, eps=TINY.epsilon)

    with FlopCounterMode(display=False) as counter:
        x = convolution("stem.conv", torch.from_numpy(image), 2).relu()
        x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
        for stage, blocks in enumerate(TINY.blocks):
            for block in range(blocks):
                name, stride = f"stage{stage}.block{block}", 2 if stage and not block else 1
                first, second = (1, stride) if late else (stride, 1)
                y = convolution(f"{name}.conv0", x, first).relu()
                y = convolution(f"{name}.conv2", convolution(f"{name}.conv1", y, second).relu(), 1)
                x = (y + (x if block else convolution(f"{name}.shortcut", x, stride))).relu()
        theirs = x.mean(dim=(2, 3)) @ w["classifier.weight"] + w["classifier.bias"]
    sites = [Site.of(graph, operator) for operator in graph.operators]
    ours_flops = sum(2 * s.space.points * s.space.macs_per_point for s in sites)
    assert ours_flops == counter.get_total_flops()
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-5)


def test_images_are_no_sequences() -> None:
    with pytest.raises(InputError, match="sees whole images, not sequences"):
        build("resnet50", Scenario.encode(128))
    with pytest.raises(InputError, match=r"image size: makes no sense; got 100, need a multiple"):
        ResNetConfig(blocks=(1,), width=8, classes=2, image_size=100)
    graph = ResNetArchitecture().build("r", TINY, Scenario.encode(1), no_weights, unrolled=False)
    assert graph.inputs == ("image",)
