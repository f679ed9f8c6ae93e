"""The graph of a `Description`: embeddings, layers, final norm, head.

An encoder's inputs are ids, token_type_ids (where it has types) and mask (1 = token, 0 = padding),
all (batch, tokens) int64; an image (batch, channels, height, width), a signal (batch, features, 1,
times) or a sound (batch, 1, 1, samples) stands for ids where it sees or hears. Its outputs are the
last hidden state and, where it has them, logits or the pooled vector. A decoder's are those of
`models.decoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import WeightSource
from inferstack.models.blocks import EMBEDDING, HEAD, OTHER
from inferstack.models.conformer import ConformerBlock
from inferstack.models.decoder import FINAL_NORM, LOGITS, check_scenario
from inferstack.models.description import (
    Arrangement,
    Description,
    Layer,
    PositionTable,
)
from inferstack.models.front_end import FrontEnd
from inferstack.models.pooled import PooledBlock
from inferstack.models.scenario import Phase, Scenario
from inferstack.ops.builder import GraphBuilder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def transformer(
    name: str,
    description: Description,
    scenario: Scenario,
    weights: WeightSource,
    *,
    unrolled: bool,
    beyond_positions: bool = False,
    stack: str = "",
) -> Graph:
    """See `Architecture.build`. Raises InputError for what the model cannot do.

    stack: in front of the names of its weights, where several stacks make a model.
    """
    check_fits(name, description, scenario, beyond_positions=beyond_positions)
    return StackBuilder(name, description, scenario, weights, stack).graph(unrolled=unrolled)


def check_fits(
    name: str, description: Description, scenario: Scenario, *, beyond_positions: bool
) -> None:
    """Raises InputError for what a stack cannot do."""
    check = check_scenario if description.writes else _check_encoder
    check(name, scenario, description.longest, beyond_positions=beyond_positions)


def _check_encoder(name: str, scenario: Scenario, longest: int, *, beyond_positions: bool) -> None:
    if scenario.phase is not Phase.ENCODE:
        raise InputError(
            f"model {name}",
            "an encoder only encodes",
            got=f"the phase {scenario.phase}",
            need=f"the phase {Phase.ENCODE}",
        )
    if scenario.new_tokens > longest and not beyond_positions:
        raise InputError(
            f"model {name}",
            "the sequence is longer than the position table",
            got=f"{scenario.new_tokens:,} tokens",
            need=f"at most {longest:,}",
            hint=f"--seq-len {longest}, or a model trained on longer texts",
        )


class StackBuilder(FrontEnd, PooledBlock, ConformerBlock):
    """Adds the blocks of a description one after the other."""

    def __init__(
        self,
        name: str,
        description: Description,
        scenario: Scenario,
        weights: WeightSource,
        stack: str = "",
        place: str = "",
        *,
        builder: GraphBuilder | None = None,
    ) -> None:
        """builder: of a graph that has other stacks as well."""
        super().__init__(name, description, scenario, weights, stack, place)
        self.builder = builder or self.builder
        self.perceived()
        typed = any(layer.attention.segments for layer in description.layers)
        typed = typed or description.embedding.token_types > 0
        words = ("ids",) if description.reads_words else ()
        kinds = ("token_type_ids",) if typed else ()
        masks = ("mask",) if description.is_masked else ()
        for slot in (*words, *kinds, *masks):
            shape = (scenario.batch, scenario.new_tokens)
            self.builder.tensor(slot, shape, DType.INT64, TensorRole.INPUT)
        if description.crosses:
            self._source()

    def _source(self) -> None:
        """What the encoder made, which a prompt reads, and which of it is no padding."""
        scenario = self.scenario
        shape = (scenario.batch, scenario.read_tokens)
        if scenario.phase is Phase.PREFILL:
            hidden = (*shape, self.description.hidden)
            self.builder.tensor("source", hidden, DType.FLOAT32, TensorRole.INPUT)
        self.builder.tensor("source_mask", shape, DType.INT64, TensorRole.INPUT)

    def graph(self, *, unrolled: bool) -> Graph:
        """The whole model; without unrolled one layer of each kind."""
        return self.builder.build((*self.outputs(unrolled=unrolled), *self.remembered))

    def outputs(self, *, unrolled: bool) -> tuple[str, ...]:
        """Adds the whole stack; returns the hidden state, then the logits or the pooled vector."""
        described = self.description
        x = self.embeddings()
        if unrolled:
            for number, layer in described.numbered():
                x = self.layer(f"layer{number}", layer, x)
        else:
            for number, (layer, repeats) in enumerate(described.kinds):
                self.repeats = repeats
                x = self.layer(f"layer{number}", layer, x)
                self.repeats = 1
        if described.final_norm is not None:
            x = self.norm(FINAL_NORM, described.final_norm, x, part=HEAD)
        if described.head is not None and described.head.project:
            width = described.embedding.width or described.hidden
            x = self.dense("head.projection", x, described.hidden, width, HEAD, bias=False)
        if described.pooled is not None:
            return x, self.pooled(described.pooled, x)
        return (x,) if described.head is None else (x, self.logits(x))

    def embeddings(self) -> str:
        """Words, types and positions, summed in the order of the weights' own code."""
        described, add = self.description, self.add
        embedding = described.embedding
        if described.patches is not None:
            return self.patches(described.patches)
        if described.signal is not None:
            return self.signal(described.signal)
        if described.sound is not None:
            return self.sound(described.sound)
        width = embedding.width or described.hidden
        table = self.weight("embedding.word", described.vocabulary, width)
        x = add("embedding", "embedding.words", {"table": table, "ids": "ids"}, part=EMBEDDING)
        if embedding.scale is not None:
            factor = {"factor": embedding.scale}
            x = add("scale", "embedding.scale", {"x": x}, factor, part=EMBEDDING)
        if embedding.words_alone:
            x, width = self._words_projected(x, width), described.hidden
        if embedding.token_types:
            table = self.weight("embedding.token_type", embedding.token_types, width)
            inputs = {"table": table, "ids": "token_type_ids"}
            types = add("embedding", "embedding.types", inputs, part=EMBEDDING)
            x = add("add", "embedding.type_add", {"a": x, "b": types}, part=EMBEDDING)
        if embedding.positions is not None:
            x = self._positions(x, width)
        if embedding.norm is not None and not embedding.norm_last:
            x = self.norm("embedding.norm", embedding.norm, x, width=width, part=EMBEDDING)
        if not embedding.words_alone:
            x = self._words_projected(x, width)
        if embedding.norm is not None and embedding.norm_last:
            x = self.norm("embedding.norm", embedding.norm, x, part=EMBEDDING)
        return x

    def _words_projected(self, x: str, width: int) -> str:
        """At the model's width."""
        embedding, hidden = self.description.embedding, self.description.hidden
        if not (width != hidden if embedding.projected is None else embedding.projected):
            return x
        bias = embedding.projection_bias
        return self.dense("embedding.projection", x, width, hidden, EMBEDDING, bias=bias)

    def _positions(self, x: str, width: int) -> str:
        embedding, scenario = self.description.embedding, self.scenario
        positions = embedding.positions
        assert positions is not None, "asked for where there are some"
        first = positions.skipped + scenario.context_tokens
        attributes = {"first": first}
        if positions.padding_id >= 0:
            attributes = {"padding_id": positions.padding_id}
            if scenario.context_tokens:
                attributes["first"] = scenario.context_tokens
            first = positions.padding_id + 1 + scenario.context_tokens
        # A longer table only ever stands for an absent one: see `beyond_positions`.
        rows = max(positions.rows, scenario.new_tokens + first)
        name = "embedding.position"
        if positions.sinusoid is not None:
            table = sinusoids(rows, width, positions)
            self.builder.tensor(name, (rows, width), DType.FLOAT32, TensorRole.CONSTANT, table)
            return self._added_positions(x, name, attributes)
        data = self.weights(f"{self.stack}{name}", (rows, width))
        for other, count in embedding.first_rows if data is not None else ():
            added = self.weights(other, (count, width))
            assert added is not None, "a source has all weights or none"
            data = data + added[0]
        name = f"{self.stack}{name}"
        self.builder.tensor(name, (rows, width), DType.FLOAT32, TensorRole.WEIGHT, data)
        return self._added_positions(x, name, attributes)

    def _added_positions(self, x: str, table: str, attributes: dict[str, int]) -> str:
        inputs = {"table": table, "ids": "ids"}
        found = self.add(
            "position_embedding", "embedding.positions", inputs, attributes, part=EMBEDDING
        )
        causal = self.description.writes
        name = "embedding.add" if causal else "embedding.position_add"
        return self.add("add", name, {"a": x, "b": found}, part=EMBEDDING)

    def layer(self, name: str, layer: Layer, x: str) -> str:
        """Attention and feed-forward with their norms and residuals."""
        kind, norm = layer.arrangement, layer.norm
        if kind is Arrangement.CONFORMER:
            return self.conformer(name, layer, x)
        if kind in (Arrangement.PARALLEL, Arrangement.PARALLEL_TWO):
            normal = self.norm(f"{name}.attention_norm", norm, x)
            attended = self.attention(name, layer.attention, normal)
            if kind is Arrangement.PARALLEL_TWO:
                normal = self.norm(f"{name}.ffn_norm", norm, x)
            made = self.feed_forward(name, layer.feed_forward, normal)
            both = self.add("add", f"{name}.branch_add", {"a": attended, "b": made})
            return self.add(
                "add", f"{name}.ffn_add", {"a": self._scaled(name, layer, both), "b": x}
            )
        before = kind in (Arrangement.PRE, Arrangement.SANDWICH)
        normed = before and layer.attention_norm
        normal = self.norm(f"{name}.attention_norm", norm, x) if normed else x
        made = self.attention(name, layer.attention, normal)
        x = self._joined(name, "attention", layer, made, x)
        if layer.cross is not None:
            normal = self.norm(f"{name}.cross_norm", norm, x) if before else x
            made = self.cross_attention(name, layer.cross, normal)
            x = self._joined(name, "cross", layer, made, x)
        normal = self.norm(f"{name}.ffn_norm", norm, x) if before else x
        made = self.feed_forward(name, layer.feed_forward, normal)
        return self._joined(name, "ffn", layer, made, x)

    def _joined(self, name: str, branch: str, layer: Layer, made: str, x: str) -> str:
        """A branch behind the residual."""
        kind = layer.arrangement
        if kind is Arrangement.BEHIND:
            made = self.norm(f"{name}.{branch}_norm", layer.norm, made)
        elif kind is Arrangement.SANDWICH:
            made = self.norm(f"{name}.{branch}_out_norm", layer.norm, made)
        if layer.gains:
            gain = self.weight(f"{name}.{branch}_gain", self.description.hidden)
            made = self.add("multiply", f"{name}.{branch}_gained", {"a": made, "b": gain})
        made = self._scaled(f"{name}.{branch}", layer, made)
        total = self.add("add", f"{name}.{branch}_add", {"a": made, "b": x})
        if kind is Arrangement.POST:
            total = self.norm(f"{name}.{branch}_norm", layer.norm, total)
        return total

    def _scaled(self, name: str, layer: Layer, x: str) -> str:
        if layer.residual is None:
            return x
        return self.add("scale", f"{name}_scale", {"x": x}, {"factor": layer.residual}, part=OTHER)

    def logits(self, x: str) -> str:
        """The head's."""
        described, head = self.description, self.description.head
        assert head is not None, "asked for where there is one"
        width = described.embedding.width or described.hidden
        table = "embedding.word"
        if not head.tied:
            table = self.weight("head.weight", width, described.vocabulary)
        inputs = {"a": x, "b": table}
        if head.bias:
            inputs["bias"] = self.weight("head.bias", described.vocabulary)
        plain = head.scale is None and head.softcap is None
        attributes = {"transpose_b": head.tied}
        name = LOGITS if plain else "head.scores"
        x = self.add("matmul", name, inputs, attributes, part=HEAD)
        if head.scale is not None:
            name = LOGITS if head.softcap is None else "head.scaled"
            x = self.add("scale", name, {"x": x}, {"factor": head.scale}, part=HEAD)
        if head.softcap is not None:
            x = self.add("softcap", LOGITS, {"x": x}, {"cap": head.softcap}, part=HEAD)
        return x


def sinusoids(rows: int, width: int, positions: PositionTable) -> npt.NDArray[np.float32]:
    """A computed table (rows, width): sines, then cosines, of falling frequencies.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5, its columns in another order.
    """
    import numpy as np

    pairs = width // 2
    less = 1 if positions.sinusoid == "pairs less one" else 0
    frequencies = 10000.0 ** -(np.arange(pairs) / (pairs - less))
    angles = np.arange(rows)[:, None] * frequencies
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    if positions.padding_id >= 0:
        table[positions.padding_id] = 0
    return table.astype(np.float32)
