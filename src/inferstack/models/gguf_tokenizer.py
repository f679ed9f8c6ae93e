"""The tokenizer in a GGUF file as one of the library `tokenizers`.

"gpt2" is a BPE over bytes with its merges; "llama" is a SentencePiece BPE, whose merges follow from
the scores of its pieces. How text is cut before the merges has a name, which must be known.
Source: ggml, docs/gguf.md; llama.cpp, src/llama-vocab.cpp; transformers,
convert_slow_tokenizer.py, for merges out of scores.
"""

from __future__ import annotations

from typing import Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import one_slip, printable
from inferstack.models.chat import ChatTemplate
from inferstack.models.config_file import ConfigFile
from inferstack.models.gguf_config import misspelt_key
from inferstack.models.gguf_file import GgufFile
from inferstack.models.text_tokenizer import TextTokenizer
from inferstack.models.tokenizer import foreign_ids, library_errors

KEY = "tokenizer.ggml."
TEMPLATE = "tokenizer.chat_template"
KNOWN = (TEMPLATE, *(
    f"{KEY}{name}" for name in (
        "model", "pre", "tokens", "token_type", "scores", "merges", "bos_token_id", "eos_token_id",
        "eot_token_id", "eom_token_id", "add_bos_token", "add_eos_token", "add_space_prefix",
    )
))  # fmt: skip
"""The keys that are read."""
LONGEST_PIECE = 1024
CONTROL, USER_DEFINED, UNKNOWN = 3, 4, 2
SPACE = "\u2581"
DIGITS_1, DIGITS_3 = r"\p{N}", r"\p{N}{1,3}"
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}|"
    r" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = ("gpt-2", "phi-2", "mpt", "olmo", "jais")
DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone")
LLAMA3 = ("llama-bpe", "llama3", "llama-v3", "smaug-bpe", "dbrx")
QWEN2 = ("qwen2", "stablelm2", "deepseek-r1-qwen")
ENDS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>")
"""Control tokens that end a turn of a conversation, whatever the file says."""


def gguf_tokenizer(file: GgufFile, rows: int) -> TextTokenizer:
    """The tokenizer of the file. rows: of the embedding table. Raises CheckpointError."""
    data = ConfigFile(str(file.path), file.metadata)
    tokens = _texts(data, "tokens")
    for key in file.metadata:
        near = next((known for known in KNOWN if one_slip(key, known)), None)
        if near is not None and key not in KNOWN:
            raise misspelt_key(data.where, key, near)
    if not tokens:
        raise CheckpointError(data.where, f"{KEY}tokens has no tokens")
    if len(set(tokens)) != len(tokens):
        raise CheckpointError(data.where, f"{KEY}tokens has a token twice")
    if len(tokens) > rows:
        raise foreign_ids(file.path, "ids", len(tokens) - 1, rows)
    kind = data.text(f"{KEY}model")
    if kind not in ("gpt2", "llama"):
        raise CheckpointError(
            data.where, f"{KEY}model is not read", got=printable(kind), need="gpt2 or llama"
        )
    types = _numbers(data, "token_type", len(tokens)) or [1] * len(tokens)
    with library_errors(file.path, "has a tokenizer that cannot be made"):
        made = _bytes(data, tokens) if kind == "gpt2" else _pieces(data, tokens, types)
        _add_special(made, tokens, types)
        _add_ends(made, data, tokens, begins=_begins(data, kind))
    ends = {tokens.index(word) for word in ENDS if word in tokens}
    ends = {number for number in ends if types[number] == CONTROL}
    for key in ("eos_token_id", "eot_token_id", "eom_token_id"):
        if f"{KEY}{key}" in file.metadata:
            ends.add(data.whole(f"{KEY}{key}", len(tokens) - 1, least=0))
    return TextTokenizer(
        tokenizer=made,
        where=data.where,
        rows=rows,
        end_ids=frozenset(ends),
        chat=_chat(data, tokens),
    )


def _texts(data: ConfigFile, name: str) -> list[str]:
    value = data.value(f"{KEY}{name}")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise CheckpointError(data.where, f"{KEY}{name} is no list of texts")
    return value


def _numbers(data: ConfigFile, name: str, count: int) -> list[Any] | None:
    """A number for each token; None without the key."""
    value = data.content.get(f"{KEY}{name}")
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != count
        or not all(type(one) in (int, float) for one in value)
    ):
        raise CheckpointError(data.where, f"{KEY}{name} has no number for each of {count:,} tokens")
    return value


def _flag(data: ConfigFile, name: str, absent: bool) -> bool:
    key = f"{KEY}{name}"
    return data.flag(key, absent) if key in data.content else absent


def _begins(data: ConfigFile, kind: str) -> bool:
    """Whether a text begins with its own token where the file does not say."""
    pre = data.content.get(f"{KEY}pre")
    return _flag(data, "add_bos_token", kind == "llama" or pre in LLAMA3)


def _bytes(data: ConfigFile, tokens: list[str]) -> Any:
    """A BPE over bytes."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    merges = []
    for line in _texts(data, "merges"):
        # A space inside of a token is written in another way, so only one stands between.
        left, between, right = line.partition(" ")
        if not between or " " in right:
            raise CheckpointError(
                data.where, f"{KEY}merges has no pair of tokens", got=printable(line)
            )
        merges.append((left, right))
    pre = data.text(f"{KEY}pre") if f"{KEY}pre" in data.content else "gpt-2"
    vocabulary = {token: number for number, token in enumerate(tokens)}
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre in LLAMA3))
    if pre in BYTES:
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    elif pre in DIGITS_APART:
        digits = pre_tokenizers.Digits(individual_digits=True)
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    elif pre in (*LLAMA3, *QWEN2):
        regex = SPLIT.format(digits=DIGITS_3 if pre in LLAMA3 else DIGITS_1)
        split = pre_tokenizers.Split(Regex(regex), "isolated")
        made.pre_tokenizer = pre_tokenizers.Sequence([split, whole])
        if pre in QWEN2:
            made.normalizer = normalizers.NFC()
    else:
        known = ", ".join((*BYTES, *DIGITS_APART, *LLAMA3, *QWEN2))
        raise CheckpointError(
            data.where, f"{KEY}pre is not known", got=printable(pre), need=f"one of {known}"
        )
    made.decoder = decoders.ByteLevel()
    return made


def _pieces(data: ConfigFile, tokens: list[str], types: list[Any]) -> Any:
    """A SentencePiece BPE: of two neighbours, those merge first whose piece has the best score."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = _numbers(data, "scores", len(tokens))
    if scores is None:
        raise CheckpointError(data.where, f"lacks the key '{KEY}scores'")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    found = []
    longest = max(map(len, tokens))
    if longest > LONGEST_PIECE:
        raise CheckpointError(
            data.where, f"{KEY}tokens has a token that is too long",
            got=f"{longest:,} characters", need=f"at most {LONGEST_PIECE:,}",
        )  # fmt: skip
    for token, score, kind in zip(tokens, scores, types, strict=True):
        if kind in (CONTROL, UNKNOWN, USER_DEFINED):
            continue
        for at in range(1, len(token)):
            left, right = token[:at], token[at:]
            if left in vocabulary and right in vocabulary:
                found.append((-score, vocabulary[left], vocabulary[right], left, right))
    found.sort()
    unknown = next((t for t, kind in zip(tokens, types, strict=True) if kind == UNKNOWN), None)
    made = Tokenizer(
        models.BPE(
            vocabulary,
            [(left, right) for *_, left, right in found],
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spaced = _flag(data, "add_space_prefix", True)
    steps: list[Any] = [normalizers.Prepend(SPACE)] if spaced else []
    made.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    back: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if spaced else back)
    return made


def _add_special(made: Any, tokens: list[str], types: list[Any]) -> None:
    """Tokens that text is searched for before all else; control tokens are no text."""
    from tokenizers import AddedToken

    control = [t for t, kind in zip(tokens, types, strict=True) if kind in (CONTROL, UNKNOWN)]
    defined = [t for t, kind in zip(tokens, types, strict=True) if kind == USER_DEFINED]
    made.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    made.add_tokens([AddedToken(token, normalized=False) for token in defined])


def _add_ends(made: Any, data: ConfigFile, tokens: list[str], *, begins: bool) -> None:
    """The tokens that stand in front of every text and behind it."""
    from tokenizers import processors

    single, special = ["$A"], []
    for name, wanted in (("bos", begins), ("eos", _flag(data, "add_eos_token", False))):
        if not wanted:
            continue
        number = data.whole(f"{KEY}{name}_token_id", len(tokens) - 1, least=0)
        special.append((tokens[number], number))
        single.insert(0 if name == "bos" else len(single), tokens[number])
    if special:
        made.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=list(dict.fromkeys(special))
        )


def _chat(data: ConfigFile, tokens: list[str]) -> ChatTemplate | None:
    source = data.content.get(TEMPLATE)
    if source is None:
        return None
    if not isinstance(source, str):
        raise CheckpointError(data.where, f"{TEMPLATE} is no text")
    words = {}
    for name in ("bos", "eos"):
        if f"{KEY}{name}_token_id" in data.content:
            number = data.whole(f"{KEY}{name}_token_id", len(tokens) - 1, least=0)
            words[f"{name}_token"] = tokens[number]
    return ChatTemplate(where=data.where, source=source, tokens=words)
