"""A model that names what an image shows, out of a Hugging Face folder: ViT and DeiT.

The head is one dense layer behind the class token, or, of a DeiT trained with a teacher, the mean
of two, the other behind the distilled token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.blocks import HEAD
from inferstack.models.checkpoint_weights import CheckpointWeights
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description
from inferstack.models.hugging_face import CONFIG, architecture_in, config_content
from inferstack.models.image_processor import ImageProcessor, read_image_processor
from inferstack.models.names import Names
from inferstack.models.scenario import Scenario
from inferstack.ops.builder import GraphBuilder

SCORES = "scores"
HEADS = {0: "cls_classifier", 1: "distillation_classifier"}
"""By the token that they stand behind: of a model trained with a teacher."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageClassifier:
    """graph: image (batch, channels, height, width) -> scores (batch, classes)."""

    name: str
    graph: Graph
    labels: tuple[str, ...]
    processor: ImageProcessor
    channels: int


def load_image_classifier(folder: Path) -> ImageClassifier:
    """Raises CheckpointError, naming file and place."""
    content = config_content(folder)
    where = str(folder / CONFIG)
    architecture, form = architecture_in(where, content)
    config, kind = form.read_config(where, content), str(content["model_type"])
    seen = isinstance(config, Description) and config.patches is not None and config.head is None
    if not seen or not config.patches.leading:
        raise CheckpointError(
            where, "is no model that names images", got=printable(kind), need="a ViT or a DeiT"
        )
    names = form.names(config)
    assert isinstance(names, Names), "a model of one stack"
    heads = {f"head{token}": module for token, module in HEADS.items()} | {"head": "classifier"}
    names = replace(names, others={**names.others, **heads})
    weights = CheckpointWeights.of_folder(folder, names, content)
    name = folder.resolve().name
    encoder = architecture.build(name, config, Scenario.encode(1), weights, unrolled=True)
    weights.check_layers(config.depth)
    graph = _with_classes(where, encoder, weights)
    side = config.patches.image
    return ImageClassifier(
        name=name,
        graph=graph,
        labels=_labels(ConfigFile(where, content), graph.tensors[SCORES].shape[1]),
        processor=read_image_processor(folder, kind, config.patches.channels, (side, side)),
        channels=config.patches.channels,
    )


def _with_classes(where: str, graph: Graph, weights: CheckpointWeights) -> Graph:
    import numpy as np

    (hidden,) = graph.outputs
    _, tokens, width = graph.tensors[hidden].shape
    if "classifier.weight" in weights.files:
        behind = {"head": 0}
    elif all(f"{module}.weight" in weights.files for module in HEADS.values()):
        behind = {f"head{token}": token for token in HEADS}
    else:
        raise CheckpointError(where, "names no classes", need="weights of a classifier")
    builder = GraphBuilder.of(graph)
    made = []
    for head, token in behind.items():
        module = "classifier" if head == "head" else HEADS[token]
        classes = weights.files[f"{module}.weight"].tensors[f"{module}.weight"].shape[0]
        mask = (np.arange(tokens) >= token).astype(np.int64)[None]
        seen = builder.tensor(f"{head}.from", mask.shape, DType.INT64, TensorRole.CONSTANT, mask)
        says = {"mode": "first"}
        x = builder.add("token_pool", f"{head}.token", {"x": hidden, "mask": seen}, says, part=HEAD)
        inputs = {"a": x}
        for slot, word, shape in (("b", "weight", (width, classes)), ("bias", "bias", (classes,))):
            data = weights(f"{head}.{word}", shape)
            inputs[slot] = builder.tensor(
                f"{head}.{word}", shape, DType.FLOAT32, TensorRole.WEIGHT, data
            )
        name = SCORES if len(behind) == 1 else f"{head}.scores"
        made.append(builder.add("matmul", name, inputs, {}, part=HEAD))
    if len(made) > 1:
        both = builder.add("add", "head.sum", {"a": made[0], "b": made[1]}, {}, part=HEAD)
        builder.add("scale", SCORES, {"x": both}, {"factor": 1 / len(made)}, part=HEAD)
    return builder.build((SCORES,))


def _labels(file: ConfigFile, classes: int) -> tuple[str, ...]:
    """id2label; without it LABEL_0 and so on, as transformers calls them."""
    value = file.optional("id2label", None)
    if value is None:
        return tuple(f"LABEL_{number}" for number in range(classes))
    numbers = [str(number) for number in range(classes)]
    named = value if isinstance(value, dict) else {}
    if set(named) != set(numbers) or not all(isinstance(one, str) for one in named.values()):
        got = f"{len(named):,} entries" if named else printable(str(value))
        raise CheckpointError(
            file.where, "id2label does not name each class of the weights once", got=got,
            need=f"a text for 0 to {classes - 1:,}",
        )  # fmt: skip
    return tuple(named[number] for number in numbers)
