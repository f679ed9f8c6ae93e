"""Models by name have as many parameters as transformers gives them, in every form of the graph."""

from __future__ import annotations

import pytest

from inferstack.analysis.convention import convention_named
from inferstack.analysis.footprint import footprint
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import architecture_of, build
from inferstack.models.named import NamedModel, named_models
from inferstack.models.scenario import Phase, Scenario

from .referees import REFEREES, SOUNDS, TOWERS, VISION, read_parameters

REFEREE_OF = {
    referee.model_type: referee for referee in reversed((*REFEREES, *VISION, *TOWERS, *SOUNDS))
}
"""The first referee of each type."""

ONE_STACK = [model for model in named_models() if model.config["model_type"] in REFEREE_OF]
"""Of others, transformers ties T5's words and head whatever the config says."""

pytestmark = pytest.mark.parametrize("model", ONE_STACK, ids=lambda model: model.name)


def graph_of(model: NamedModel, *, unrolled: bool) -> Graph:
    phases = architecture_of(model.name)[0].phases
    phase = Phase.PREFILL if Phase.PREFILL in phases else phases[0]
    return build(model.name, Scenario(phase=phase, batch=1, new_tokens=2), unrolled=unrolled)


def test_parameters_are_as_many_as_in_transformers(model: NamedModel) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    known = dict(model.config)
    referee = REFEREE_OF[known.pop("model_type")]
    made = getattr(transformers, *known.pop("architectures", [referee.auto]))
    config = transformers.AutoConfig.for_model(referee.model_type, **known)
    with torch.device("meta"):
        theirs = made(config) if made.__name__[:4] != "Auto" else made.from_config(config)
    weights = graph_of(model, unrolled=True).tensors.values()
    ours = sum(tensor.elements for tensor in weights if tensor.role is TensorRole.WEIGHT)
    assert ours == read_parameters(referee, theirs)


def test_one_layer_of_each_kind_weighs_what_all_layers_do(model: NamedModel) -> None:
    convention = convention_named("exact")
    rolled, unrolled = (graph_of(model, unrolled=whole) for whole in (False, True))
    assert (
        footprint(rolled, convention).weight_bytes == footprint(unrolled, convention).weight_bytes
    )
