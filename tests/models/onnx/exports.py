"""Small random models of `transformers`, written by torch.onnx."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 100,
    "max_position_embeddings": 64,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 64}
DECODERS = frozenset(
    {"gpt2", "llama", "qwen3", "gemma2", "gpt_neox", "gptj", "bloom", "opt", "phi"}
)


def models() -> dict[str, Callable[[], Any]]:
    """Makers by name."""
    import transformers as t

    grouped = {**SIZES, "num_key_value_heads": 2}
    seen = {"image_size": 32, "patch_size": 8}
    seen |= {k: v for k, v in SIZES.items() if k not in ("vocab_size", "max_position_embeddings")}
    return {
        "bert": lambda: t.BertModel(t.BertConfig(**SIZES)),
        "roberta": lambda: t.RobertaModel(
            t.RobertaConfig(**SIZES, pad_token_id=1), add_pooling_layer=False
        ),
        "distilbert": lambda: t.DistilBertForSequenceClassification(
            t.DistilBertConfig(
                dim=32, n_layers=2, n_heads=4, hidden_dim=48, vocab_size=100,
                max_position_embeddings=64,
            )
        ),
        "mpnet": lambda: t.MPNetModel(t.MPNetConfig(**SIZES), add_pooling_layer=False),
        "modernbert": lambda: t.ModernBertModel(
            t.ModernBertConfig(
                **SIZES, local_attention=8, global_attn_every_n_layers=2, pad_token_id=0
            )
        ),
        "t5": lambda: t.T5EncoderModel(
            t.T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=100)
        ),
        "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(**GPT)),
        "gptj": lambda: t.GPTJForCausalLM(t.GPTJConfig(**GPT, rotary_dim=4)),
        "gpt_neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**SIZES, rotary_pct=0.5)),
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**grouped)),
        "qwen3": lambda: t.Qwen3ForCausalLM(t.Qwen3Config(**grouped, head_dim=8)),
        "gemma2": lambda: t.Gemma2ForCausalLM(
            t.Gemma2Config(**grouped, head_dim=8, sliding_window=8)
        ),
        "bloom": lambda: t.BloomForCausalLM(
            t.BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=100)
        ),
        "opt": lambda: t.OPTForCausalLM(
            t.OPTConfig(
                hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48,
                vocab_size=100, max_position_embeddings=64, word_embed_proj_dim=32,
            )
        ),
        "vit": lambda: t.ViTModel(t.ViTConfig(**seen), add_pooling_layer=False),
        "whisper": lambda: t.models.whisper.modeling_whisper.WhisperEncoder(
            t.WhisperConfig(
                d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=48,
                num_mel_bins=8, max_source_positions=12, vocab_size=100, pad_token_id=0,
                bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
            )
        ),
    }  # fmt: skip


def export(name: str, path: Path, *, dynamo: bool = False) -> None:
    """A model with random weights as a file: batch and tokens are open."""
    import torch

    torch.manual_seed(0)
    model = models()[name]().eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, 0, 0.3)
    inputs: dict[str, Any] = {
        "input_ids": torch.randint(5, 90, (2, 7)),
        "attention_mask": torch.ones(2, 7, dtype=torch.int64),
    }
    if name == "bert":
        inputs["token_type_ids"] = torch.zeros(2, 7, dtype=torch.int64)
    if name == "vit":
        inputs = {"pixel_values": torch.randn(2, 3, 32, 32)}
    if name == "whisper":
        inputs = {"input_features": torch.randn(2, 8, 24)}
    write(_first_output(model, tuple(inputs)), inputs, path, dynamo=dynamo)


def write(
    model: Any, inputs: dict[str, Any], path: Path, *, dynamo: bool = False, **given: Any
) -> None:
    """A module of torch as a file."""
    import torch

    open_axes = {0: "batch"} if len(next(iter(inputs.values())).shape) > 2 else None
    axes = {name: open_axes or {0: "batch", 1: "seq"} for name in inputs}
    says: dict[str, Any] = {"dynamic_axes": axes}
    if dynamo:
        dims = {"batch": torch.export.Dim("batch"), "seq": torch.export.Dim("seq", min=2)}
        shapes = {
            key: {axis: dims[called] for axis, called in axes[name].items()}
            for key, name in zip("abc", inputs, strict=False)
        }
        says = {"dynamic_shapes": shapes, "external_data": False, "verbose": False}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, tuple(inputs.values()), str(path), input_names=list(inputs),
            output_names=["out"], dynamo=dynamo, **says, **given,
        )  # fmt: skip


def _first_output(model: Any, names: tuple[str, ...]) -> Any:
    import torch

    class FirstOutput(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, a: Any, b: Any = None, c: Any = None) -> Any:
            given = (x for x in (a, b, c) if x is not None)
            cached = {"use_cache": False} if getattr(model.config, "use_cache", None) else {}
            if model.config.model_type in ("t5", "whisper"):
                cached = {}
            return self.inner(**dict(zip(names, given, strict=True)), **cached, return_dict=False)[
                0
            ]

    return FirstOutput()
