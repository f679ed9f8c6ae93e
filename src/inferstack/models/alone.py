"""Parts of a model that a folder holds alone, as `architectures` of its config.json says.

The encoder of an encoder-decoder ("T5EncoderModel"), and a decoder without its head
("MistralModel", "Qwen2ForSequenceClassification"). A head that is the table of words stays: it is
there either way. A decoder whose folder has modules.json makes vectors of sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from inferstack.ir.graph import Graph
from inferstack.models.architecture import Architecture, HuggingFaceForm, WeightSource
from inferstack.models.description import Description, EncoderDecoder
from inferstack.models.names import Names, Stacks
from inferstack.models.scenario import Phase, Scenario
from inferstack.models.transformer import transformer

ENCODERS = "EncoderModel"
HEADLESS = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
WITH_HEAD = ("LMHeadModel", "DoubleHeadsModel")


def part_of(
    content: Mapping[str, object], architecture: Architecture, form: HuggingFaceForm
) -> tuple[Architecture, HuggingFaceForm]:
    """The readers of what is in the folder."""
    named = content.get("architectures")
    names = [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
    if Phase.DECODE not in architecture.phases or not names:
        return architecture, form
    if Phase.ENCODE in architecture.phases:
        if all(name.endswith(ENCODERS) for name in names):
            alone = EncoderAlone(form)
            return alone, alone
        return architecture, form
    if all(name.endswith(HEADLESS) and not name.endswith(WITH_HEAD) for name in names):
        return architecture, Headless(form)
    return architecture, form


@dataclass(frozen=True, slots=True)
class Headless:
    """A `HuggingFaceForm` of a decoder without a head of its own. form: of the whole."""

    form: HuggingFaceForm

    @property
    def model_types(self) -> frozenset[str]:
        """As the whole."""
        return self.form.model_types

    @property
    def reads_weights(self) -> bool:
        """As the whole."""
        return self.form.reads_weights

    def read_config(self, where: str, content: Mapping[str, object]) -> Any:
        """The whole's description, without the head unless that is tied."""
        whole = self.form.read_config(where, content)
        if isinstance(whole, Description) and whole.head is not None and not whole.head.tied:
            return replace(whole, head=None)
        return whole

    def names(self, config: Any) -> Names | Stacks:
        """As the whole."""
        return self.form.names(config)


@dataclass(frozen=True, slots=True)
class EncoderAlone:
    """The encoder of an encoder-decoder. form: of both."""

    form: HuggingFaceForm
    phases: tuple[Phase, ...] = (Phase.ENCODE,)
    sees_tokens: bool = True

    @property
    def presets(self) -> Mapping[str, Any]:
        """None."""
        return {}

    @property
    def hugging_face(self) -> HuggingFaceForm | None:
        """It reads its own folders."""
        return self

    @property
    def model_types(self) -> frozenset[str]:
        """As the whole."""
        return self.form.model_types

    @property
    def reads_weights(self) -> bool:
        """As the whole."""
        return self.form.reads_weights

    def read_config(self, where: str, content: Mapping[str, object]) -> Any:
        """Of the encoder."""
        whole = self.form.read_config(where, content)
        assert isinstance(whole, EncoderDecoder), "a model that does both"
        return whole.encoder

    def names(self, config: Any) -> Names | Stacks:
        """As the whole."""
        return self.form.names(EncoderDecoder(encoder=config, decoder=config))

    def build(
        self,
        name: str,
        config: Any,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`."""
        return transformer(
            name,
            config,
            scenario,
            weights,
            unrolled=unrolled,
            beyond_positions=beyond_positions,
        )


class SentencesAtOnce(EncoderAlone):
    """A decoder that sees all tokens of a sentence at once, and has no use for a head."""

    def read_config(self, where: str, content: Mapping[str, object]) -> Any:
        """Of the stack."""
        whole = self.form.read_config(where, content)
        assert isinstance(whole, Description), "a model of one stack"
        return replace(whole, at_once=True, head=None)

    def names(self, config: Any) -> Names | Stacks:
        """As the whole."""
        return self.form.names(config)
