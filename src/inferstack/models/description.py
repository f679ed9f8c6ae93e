"""`Description`: a Transformer in words that its graph, its counts and its files follow from.

A family (`models/families/`) reads a config.json into a Description and says what its file calls
the weights. `models.transformer` makes the graph. Nothing here knows a family.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from inferstack.models.rotary import Rotary
from inferstack.models.senses import Patches, Signal, Sound


class Arrangement(StrEnum):
    """Where the norms and residuals of a layer stand. a, f: attention and feed-forward."""

    PRE = "pre"
    """x += a(norm(x)); x += f(norm(x))"""
    POST = "post"
    """x = norm(x + a(x)); x = norm(x + f(x))"""
    BEHIND = "behind"
    """x += norm(a(x)); x += norm(f(x))"""
    SANDWICH = "sandwich"
    """x += norm(a(norm(x))); x += norm(f(norm(x)))"""
    PARALLEL = "parallel"
    """x += a(norm(x)) + f(norm(x)), one norm for both"""
    PARALLEL_TWO = "parallel, two norms"
    """x += a(norm1(x)) + f(norm2(x))"""
    CONFORMER = "conformer"
    """x += f1(norm(x)) / 2; x += a(norm(x)); x += c(norm(x)); x = norm(x + f2(norm(x)) / 2)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """kind: layernorm or rmsnorm. bias: whether a layernorm has a beta. offset: what the file's
    gamma lacks: 1 for Gemma. gain: whether there is a gamma at all."""

    kind: str
    epsilon: float
    bias: bool = True
    offset: float = 0.0
    gain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """Relative positions as a learned number for each head and bucket of distance (T5, MPNet).
    each: every layer has a table of its own (UMT5)."""

    count: int
    longest: int
    both_ways: bool
    each: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Disentangled:
    """Learned vectors of distances, `rows` in one table for all layers, with half of the rows to
    each side, that queries and keys are scored with.

    to_position: the query with the distance as a key; from_position: the distance as a query with
    the key. shared: the projections of query and key serve the distances too; key_bias: of their
    own. buckets, longest: see the operator `distance_scores`; 0 for none. norm: of the table. near:
    only the distances that a sentence has are scored with.
    """

    rows: int
    buckets: int
    longest: int
    to_position: bool
    from_position: bool
    shared: bool
    key_bias: bool = True
    norm: Norm | None = None
    near: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """heads: of the query; kv_heads: of key and value, each of which serves several. width: of a
    head.

    bias: of query, key and value, but of the key only with key_bias; output_bias. scale: of the
    scores, width^-1/2 by default. window: keys that a query sees at most, itself included. softcap:
    scores go through softcap * tanh(x / softcap). head_norm: of query and key, over each head, or
    over all of them with norm_whole; with norm_each every head has gains of its own. alibi: slopes
    of distance instead of positions, times alibi_scale. sinks: a learned number for each head
    stands in every row of the softmax. clip: query, key and value are cut to +-clip. latent: of
    keys and values that are made of one narrow vector; width and kv_heads then say nothing more.
    sinusoids: the query scores keys and projected sinusoids of the distance, with a bias of its own
    for each, and with `segments` also whether both tokens are of one (XLNet). turned_before: rotary
    turns the hidden state that query and key are projected from, instead of these.
    """

    heads: int
    kv_heads: int
    width: int
    bias: bool = False
    key_bias: bool = True
    output_bias: bool = False
    scale: float | None = None
    rotary: Rotary | None = None
    window: int | None = None
    softcap: float | None = None
    head_norm: Norm | None = None
    norm_whole: bool = False
    norm_each: bool = False
    alibi: bool = False
    alibi_scale: float = 1.0
    buckets: Buckets | None = None
    sinks: bool = False
    clip: float | None = None
    latent: Latent | None = None
    disentangled: Disentangled | None = None
    sinusoids: bool = False
    segments: bool = False
    turned_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture: each token goes to `active` of `count` feed-forwards, and through a shared one
    `shared` wide (0: none), which shared_gate weighs.

    scoring, normalized, factor, groups, open: see the operator `route`. router_bias: of its scores.
    correction: a number for each expert that moves the choice alone.
    """

    count: int
    active: int
    shared: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    scoring: str = "softmax"
    normalized: bool = False
    factor: float = 1.0
    groups: int = 1
    open: int = 1
    correction: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Keys and values out of a narrow vector that is all the cache holds (MLA).

    query: width of the query's own narrow vector; None without one. width: of the vector. turned:
    elements of each head that turn by position, behind `plain` ones that do not; those of the key
    are common to all heads. value: elements of a head's value.
    """

    query: int | None
    width: int
    plain: int
    turned: int
    value: int
    norm: Norm


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """activation: gelu, gelu_tanh, gelu_quick, relu, relu2, silu, tanh, or swiglu_clamped, which is
    a gate by itself. gated: a second projection is multiplied in. experts: inner is then of one.
    """

    inner: int
    activation: str
    gated: bool = False
    bias: bool = False
    experts: Experts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer. residual: what a branch is multiplied by before it is added. attention_norm: of
    norms in front of the branches, whether the attention has its own. cross: attention to what an
    encoder made, between the two branches and with a norm and residual of its own. kernel: times
    that the convolution of a conformer sees. gains: each channel of a branch is multiplied with a
    learned number."""

    attention: Attention
    feed_forward: FeedForward
    norm: Norm
    cross: Attention | None = None
    arrangement: Arrangement = Arrangement.PRE
    residual: float | None = None
    attention_norm: bool = True
    kernel: int | None = None
    gains: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionTable:
    """rows: of the table. skipped: rows in front of position 0 (OPT: 2). padding_id: RoBERTa's
    rule, padding keeps that row and the others count up behind it; -1 for the usual one. sinusoid:
    of a table that is computed, sines in front of cosines: its frequencies' exponents are over the
    number of "pairs", or over "pairs less one"."""

    rows: int
    skipped: int = 0
    padding_id: int = -1
    sinusoid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """The one vector of a text or an image, behind the stack.

    token: that of this number, -1 for the last; None for the one that ends the text, of the id
    `end`, or of the largest id where that is None too. probe: instead, a learned query attends to
    all tokens, then goes through a feed-forward, as this layer says. norm: of the vector. width: of
    a dense layer behind it, if any; bias: of that.
    """

    token: int | None = None
    end: int | None = None
    probe: Layer | None = None
    norm: Norm | None = None
    width: int | None = None
    bias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """width: of the tables, if it is not the model's (ALBERT, ELECTRA). scale: of the words.

    projected: whether a dense layer stands behind them; by default where the widths differ.
    projection_bias: whether that has one. norm_last: the norm stands behind it (DeBERTa).
    words_alone: it stands behind the words, and the other tables have the model's width (OPT).

    token_types: rows of that table, from which each token's own type picks. first_rows: tables,
    with their rows, of which the first row is added to every position.
    """

    width: int | None = None
    scale: float | None = None
    positions: PositionTable | None = None
    token_types: int = 0
    first_rows: tuple[tuple[str, int], ...] = ()
    norm: Norm | None = None
    projected: bool | None = None
    projection_bias: bool = True
    norm_last: bool = False
    words_alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What makes logits. tied: by the table of words. softcap, scale: of the logits. bias.

    project: the hidden state goes through a dense layer back to the table's width (OPT-350m)."""

    tied: bool
    bias: bool = False
    softcap: float | None = None
    scale: float | None = None
    project: bool = False


@dataclass(frozen=True, kw_only=True)
class Description:
    """A stack of layers behind embeddings.

    longest: tokens that it was trained for; its position table, if any, may end there. causal:
    each token sees itself and the earlier ones. at_once: all tokens come at once even so, and
    nothing is remembered (CLIP's texts). shared: all layers have the weights of the first. head:
    None for a model that gives hidden states alone. patches: of one that sees images, and then no
    words. signal, sound: of one that hears. pooled: of one that makes a vector of all. unread: what
    stands beside it in its config, and is no part of it.
    """

    vocabulary: int
    hidden: int
    layers: tuple[Layer, ...]
    longest: int
    causal: bool
    embedding: Embedding = field(default_factory=Embedding)
    final_norm: Norm | None = None
    head: Head | None = None
    shared: bool = False
    patches: Patches | None = None
    signal: Signal | None = None
    sound: Sound | None = None
    at_once: bool = False
    pooled: Pooled | None = None
    unread: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether it makes one token after the other, and remembers keys and values."""
        return self.causal and not self.at_once

    @property
    def depth(self) -> int:
        """Layers."""
        return len(self.layers)

    @property
    def longest_sequence(self) -> int:
        """Tokens that it has positions for."""
        return self.longest

    @cached_property
    def kinds(self) -> tuple[tuple[Layer, int], ...]:
        """Each distinct layer with how often it occurs, in the order of the first of each."""
        counts: dict[Layer, int] = {}
        for layer in self.layers:
            counts[layer] = counts.get(layer, 0) + 1
        return tuple(counts.items())

    @property
    def image_size(self) -> int | None:
        """Height and width of the image in pixels."""
        return None if self.patches is None else self.patches.image

    @property
    def reads_words(self) -> bool:
        """Whether its input is ids of words."""
        return self.patches is None and self.signal is None and self.sound is None

    @property
    def is_masked(self) -> bool:
        """Whether some of what it is given may be padding."""
        return not self.writes and (self.reads_words or self.sound is not None)

    @property
    def crosses(self) -> bool:
        """Whether it attends to what an encoder made."""
        return any(layer.cross is not None for layer in self.layers)

    def numbered(self) -> Iterator[tuple[int, Layer]]:
        """The layers with their numbers."""
        return iter(enumerate(self.layers))


@dataclass(frozen=True, kw_only=True)
class EncoderDecoder:
    """Two stacks with one table of words: what the encoder makes of a source, each layer of the
    decoder reads. Weights of the decoder's own begin with "decoder."."""

    encoder: Description
    decoder: Description

    @property
    def depth(self) -> int:
        """Layers of both."""
        return self.encoder.depth + self.decoder.depth

    @property
    def hidden(self) -> int:
        """Width of the hidden state."""
        return self.decoder.hidden

    @property
    def vocabulary(self) -> int:
        """Words."""
        return self.decoder.vocabulary

    @property
    def longest_sequence(self) -> int:
        """Tokens that both have positions for."""
        return min(self.encoder.longest, self.decoder.longest)
