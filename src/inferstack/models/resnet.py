"""ResNet of bottleneck blocks, version 1 (stride in a block's first 1x1) and 1.5 (in its 3x3).

Version 1 is the paper's; 1.5, torchvision's and NVIDIA's, has the first 1x1 work on the larger
image: 4.09 instead of 3.86 billion multiply-accumulates for ResNet-50.
Input: image (batch, 3, size, size) float32. Output: the classes' scores (batch, classes).
Source: He et al. 2015, arXiv:1512.03385, table 1 and section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import WeightSource
from inferstack.models.blocks import OTHER, BlockBuilder
from inferstack.models.scenario import Phase, Scenario

if TYPE_CHECKING:
    from inferstack.models.architecture import HuggingFaceForm

CONVOLUTION = "convolution"
BATCHNORM = "batchnorm"
RELU = "relu"

EXPANSION = 4
"""A block gives four times the channels that its 3x3 convolution works on."""
SMALLEST_IMAGE, LARGEST_IMAGE = 32, 2**14
SHRINKS_BY = 32
"""Edge of the image over edge of the last stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetConfig:
    """Sizes of a ResNet.

    blocks: by stage. width: channels of the stem and of the first stage's 3x3; each stage doubles
    it. image_size: height and width of the input. stride_in_3x3: version 1.5.
    """

    blocks: tuple[int, ...]
    width: int
    classes: int
    image_size: int
    epsilon: float = 1e-5
    stride_in_3x3: bool = False

    @property
    def variant(self) -> str:
        """Which of the networks of this name it is."""
        if self.stride_in_3x3:
            return "version 1.5 (torchvision's): the stride stands in a block's 3x3"
        return "version 1 (He et al. 2015): the stride stands in a block's first 1x1"

    def __post_init__(self) -> None:
        size = self.image_size
        if not SMALLEST_IMAGE <= size <= LARGEST_IMAGE or size % SHRINKS_BY:
            raise InputError(
                "image size",
                "makes no sense",
                got=size,
                need=f"a multiple of {SHRINKS_BY} from {SMALLEST_IMAGE} to {LARGEST_IMAGE:,}",
            )


BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
VERSIONS = {"": False, "-v1": False, "-v1.5": True}
"""By what stands behind the name: whether the stride is in the 3x3. No version is the paper's."""
PRESETS = {
    name + version: ResNetConfig(
        blocks=blocks, width=64, classes=1000, image_size=224, stride_in_3x3=stride_in_3x3
    )
    for name, blocks in BLOCKS.items()
    for version, stride_in_3x3 in VERSIONS.items()
}


class ResNetArchitecture:
    """See the module."""

    presets: Mapping[str, ResNetConfig] = PRESETS
    phases: tuple[Phase, ...] = (Phase.ENCODE,)
    sees_tokens = False
    hugging_face: HuggingFaceForm | None = None

    def build(
        self,
        name: str,
        config: ResNetConfig,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`. An image has no tokens: `new_tokens` must be 1."""
        if scenario.phase is not Phase.ENCODE or scenario.new_tokens != 1:
            raise InputError(
                f"model {name}",
                "sees whole images, not sequences",
                got=f"the phase {scenario.phase} with {scenario.new_tokens:,} tokens",
                need="the phase encode with 1 token, which stands for the image",
            )
        network = _ResNet(name, config, weights)
        x = network.stem(scenario.batch)
        for stage, blocks in enumerate(config.blocks):
            x = network.block(f"stage{stage}.block0", x, stage, first=True)
            if not unrolled and blocks > 1:
                network.repeats = blocks - 1
                x = network.block(f"stage{stage}.block1", x, stage)
                network.repeats = 1
                continue
            for block in range(1, blocks):
                x = network.block(f"stage{stage}.block{block}", x, stage)
        return network.builder.build((network.classifier(x),))


class _ResNet(BlockBuilder):
    """The blocks of a ResNet."""

    def __init__(self, name: str, config: ResNetConfig, weights: WeightSource) -> None:
        super().__init__(name, weights)
        self.config = config

    def convolution(
        self, name: str, x: str, channels: tuple[int, int], kernel: int, *, stride: int = 1
    ) -> str:
        """A convolution that keeps the image's edge, over `stride`, and its BatchNorm."""
        inputs = {
            "x": x,
            "weight": self.weight(f"{name}.weight", channels[1], channels[0], kernel, kernel),
        }
        sizes = {"stride": stride, "padding": kernel // 2}
        x = self.add("conv2d", name, inputs, sizes, part=CONVOLUTION)
        inputs = {"x": x}
        for slot in ("gamma", "beta", "mean", "variance"):
            inputs[slot] = self.weight(f"{name}_norm.{slot}", channels[1])
        attributes = {"epsilon": self.config.epsilon}
        return self.add("batchnorm", f"{name}_norm", inputs, attributes, part=BATCHNORM)

    def relu(self, name: str, x: str) -> str:
        """max(x, 0)."""
        return self.add("relu", name, {"x": x}, part=RELU)

    def stem(self, batch: int) -> str:
        """7x7 convolution and pooling: a quarter of the image's edge."""
        size, width = self.config.image_size, self.config.width
        self.builder.tensor("image", (batch, 3, size, size), DType.FLOAT32, TensorRole.INPUT)
        x = self.relu("stem.relu", self.convolution("stem.conv", "image", (3, width), 7, stride=2))
        sizes = {"kernel": 3, "stride": 2, "padding": 1}
        return self.add("max_pool", "stem.pool", {"x": x}, sizes)

    def block(self, name: str, x: str, stage: int, *, first: bool = False) -> str:
        """A bottleneck: 1x1, 3x3, 1x1, and the shortcut; the first of a stage changes the shape."""
        width = self.config.width << stage
        wide = EXPANSION * width
        stride = 2 if first and stage else 1
        before = self.builder.tensors[x].shape[1]
        early, late = (1, stride) if self.config.stride_in_3x3 else (stride, 1)
        y = self.convolution(f"{name}.conv0", x, (before, width), 1, stride=early)
        y = self.relu(f"{name}.relu0", y)
        y = self.convolution(f"{name}.conv1", y, (width, width), 3, stride=late)
        y = self.relu(f"{name}.relu1", y)
        y = self.convolution(f"{name}.conv2", y, (width, wide), 1)
        if first:
            x = self.convolution(f"{name}.shortcut", x, (before, wide), 1, stride=stride)
        total = self.add("add", f"{name}.add", {"a": y, "b": x})
        return self.relu(f"{name}.relu2", total)

    def classifier(self, x: str) -> str:
        """Mean over the image and a dense layer."""
        mean = self.add("global_average_pool", "classifier.mean", {"x": x})
        channels = self.builder.tensors[mean].shape[1]
        return self.dense("classifier", mean, channels, self.config.classes, OTHER)


ARCHITECTURE = ResNetArchitecture()
