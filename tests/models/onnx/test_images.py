"""Convolutional networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.models.onnx.agreement import disagreement, kinds
from tests.models.onnx.exports import write

import inferstack as ist
from inferstack.models.scenario import Scenario


def resnet(blocks: tuple[int, ...], width: int, classes: int) -> Any:
    """Version 1.5, as torchvision has it."""
    import torch
    from torch import nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, before: int, narrow: int, stride: int, shortcut: bool) -> None:
            super().__init__()
            wide = 4 * narrow
            self.body = nn.Sequential(
                *convolved(before, narrow, 1, 1), nn.ReLU(), *convolved(narrow, narrow, 3, stride),
                nn.ReLU(), *convolved(narrow, wide, 1, 1),
            )  # fmt: skip
            self.shortcut = nn.Sequential(*convolved(before, wide, 1, stride)) if shortcut else None

        def forward(self, x: Any) -> Any:
            return torch.relu(self.body(x) + (x if self.shortcut is None else self.shortcut(x)))

    layers: list[Any] = [*convolved(3, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = width
    for stage, count in enumerate(blocks):
        narrow = width << stage
        for number in range(count):
            stride = 2 if stage and not number else 1
            layers.append(Block(before, narrow, stride, not number))
            before = 4 * narrow
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
    return nn.Sequential(*layers)


def convolved(before: int, after: int, kernel: int, stride: int) -> tuple[Any, Any]:
    from torch import nn

    convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(after)


def drawn(model: Any) -> Any:
    """With random statistics and gains: the exporter stores equal tensors once."""
    import torch

    torch.manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.dtype == torch.float32 and tensor.dim() == 1:
            tensor.copy_(0.5 + torch.rand_like(tensor) if "bias" not in name else tensor.normal_())
    return model


def exported(model: Any, size: int, path: Path) -> Path:
    """With its norms where they stand."""
    import torch

    # In evaluation the exporter folds norms into convolutions; frozen ones it leaves alone.
    training = torch.onnx.TrainingMode.PRESERVE
    write(
        drawn(model).eval(), {"pixel_values": torch.randn(1, 3, size, size)}, path,
        training=training, do_constant_folding=False,
    )  # fmt: skip
    return path


def test_values_of_a_small_network(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    path = exported(resnet((2, 1), 8, 10), 32, tmp_path / "small.onnx")
    worst, recovered = disagreement(path, Scenario.encode(1, batch=2), padded=False)
    assert worst < 1e-4
    assert kinds(recovered)["batchnorm"] == kinds(recovered)["conv2d"] == 12


@pytest.mark.slow
def test_an_export_of_resnet_50_has_the_counts_of_the_named_one(tmp_path: Path) -> None:
    path = exported(resnet((3, 4, 6, 3), 64, 1000), 224, tmp_path / "resnet50.onnx")
    ours, named = ist.load(path), ist.load("resnet50-v1.5")
    for by in ("part", "kind"):
        mine, its = ours.count(by=by), named.count(by=by)
        assert mine.flops == its.flops
        assert mine.traffic_bytes == its.traffic_bytes
        assert mine.weight_bytes == its.weight_bytes
        assert mine.to_csv() == its.to_csv().replace("resnet50-v1.5", "resnet50")
