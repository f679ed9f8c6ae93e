"""Valid files of every kind that InferStack reads, and the doors through which it reads them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import inferstack as ist
from binary_files import F16, F32, Q8_0, gguf_file, torch_file, torch_pickle
from inferstack.core.errors import InputError
from inferstack.core.yaml import read_yaml
from inferstack.hardware.names import LIBRARY
from inferstack.models.decoder_checkpoint import load_decoder
from inferstack.models.hugging_face import load_checkpoint, load_graph
from inferstack.models.scenario import Scenario
from inferstack.testing.checkpoints import TinyCheckpoint, tiny_bert, tiny_llama
from mutations import LENGTH_BYTES, Original, Place, body_of

MACHINES = ("gemmini-ibert", "eyeriss", "simba")
SENTENCE = "the cat sat on the mat"
LAYERS = ("matmul:m=64,k=64,n=64", "conv:c=8,n=16,h=6,w=6,r=3,s=3,stride=2,padding=1")
OWN_LAYERS = """layers:
- {name: qk, kind: matmul, m: 512, k: 64, n: 512, count: 12}
- {kind: conv, c: 8, n: 16, h: 6, w: 6, r: 3, s: 3, padding: 1, groups: 2}
"""
CONVOLUTIONS = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, \
Num Filter, Strides,
Conv1, 230, 230, 7, 7, 3, 64, 2,
Conv2, 58, 58, 3, 3, 64, 64, 1,
"""
PRODUCTS = "Layer, M, N, K,\nqk, 512, 256, 64,\nkv, 64, 512, 64,\n"
MATMUL = """problem:
  shape:
    name: gemm
    dimensions: [M, N, K]
    data_spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [[[K]], [[N]]]}
    - {name: Z, projection: [[[M]], [[N]]], read_write: true}
  instance: {M: 512, N: 512, K: 64}
"""
CNN = """problem:
  version: 0.4
  shape:
    name: CNN-Layer
    dimensions: [C, M, R, S, N, P, Q]
    coefficients: [{name: Wstride, default: 1}, {name: Hstride, default: 1}]
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]], [[R]], [[S]]]}
    - {name: Inputs, projection: [[[N]], [[C]], [[R], [P, Wstride]], [[S], [Q, Hstride]]]}
    - {name: Outputs, projection: [[[N]], [[M]], [[Q]], [[P]]], read_write: true}
  instance: {C: 16, M: 32, R: 3, S: 3, N: 2, P: 8, Q: 8, Hstride: 2, Wstride: 2}
"""
EXTENDING = """extends: gemmini-ibert
name: mine
sources: {me: {claim: assumed, text: a try}}
levels: {accumulator: {capacity_bytes: [128 KiB, me]}}
clock_hz: [1e9, me]
"""
REPLACING = """extends: peers-target
name: mine
sources: {me: {claim: assumed, text: a try}}
forwards_to: [shared]
levels:
  scratchpad: {remove: true}
  shared: {inside: dram, capacity_bytes: [1 MiB, me], holds: [input, weight, output],
    read_bytes_per_cycle: [16, me], write_bytes_per_cycle: [16, me], shared_port: true,
    double_buffered: false, read_pj_per_byte: [20, me], write_pj_per_byte: [20, me],
    partial_sum_bits: [32, me]}
"""
PARAMETERS = """#define DIM 16
#define BANK_NUM (1 << 2)
#define BANK_ROWS ((DIM * 0x100UL) / 1)
#define ACC_ROWS 1024 // rows of sums
#define MAX_BYTES (DIM*4)
typedef int8_t elem_t;
typedef int32_t acc_t;
"""
LLAMA = {
    "model_type": "llama", "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 128,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "head_dim": 16,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-06, "tie_word_embeddings": False,
    "vocab_size": 64, "rope_theta": 10000.0, "attention_bias": False,
}  # fmt: skip
CONFIGS = (
    {**LLAMA, "dtype": "bfloat16"},
    {
        **LLAMA,
        "original_max_position_embeddings": 32,
        "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "beta_fast": 32.0, "beta_slow": 1.0},
    },
    {
        **LLAMA,
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 16,
        "max_window_layers": 1,
    },
    {
        **LLAMA,
        "model_type": "mistral",
        "sliding_window": 16,
        "layer_types": ["full_attention", "sliding_attention"],
        "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"},
    },
    {**LLAMA, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}},
    {**LLAMA, "torch_dtype": "float16", "quantization_config": {"quant_method": "awq", "bits": 4}},
    {
        "model_type": "gpt2", "activation_function": "gelu_new", "n_embd": 64, "n_head": 4,
        "n_inner": 128, "n_layer": 2, "vocab_size": 100, "n_positions": 64,
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
    },
)  # fmt: skip
FUSED = """# written by inferstack
operator: output
accelerator: gemmini-ibert
contraction:
  dims: {m: 64, n: 384, k: 384}
  reductions: [k]
  operands:
  - {slot: a, role: input, bits: 8, indices: [{terms: {m: 1}}, {terms: {k: 1}}]}
  - {slot: b, role: weight, bits: 8, indices: [{terms: {k: 1}}, {terms: {n: 1}}]}
  - {slot: out, role: output, bits: 32, indices: [{terms: {m: 1}}, {terms: {n: 1}}]}
  bias_bits: 32
  fused_output_bits: 8
nest:
- {store: out, level: accumulator}
- {loop: k, step: 16}
- {store: a, level: scratchpad}
- {store: b, level: scratchpad}
- {loop: n, step: 16}
- {loop: m, step: 1}
- {spatial: k, extent: 16, axis: row}
- {spatial: n, extent: 16, axis: column}
fused:
- {name: attention_add, kind: add, residual_bits: 8, rescaled: true}
- {name: attention_norm, kind: layernorm}
"""


def _no_names(_: Place) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file. path: where a mutant is written. door: reads it as the command line does.

    names: of a place, whether its last key is a name that the user chooses. spellings: other ones
    of keys, which mean the same.
    """

    path: Path
    originals: tuple[Original, ...]
    door: Callable[[Path], object]
    names: Callable[[Place], bool] = _no_names
    spellings: frozenset[str] = frozenset()


def _is_dimension(place: Place) -> bool:
    """Of an index: misspelt as another dimension, it is another index."""
    return len(place) > 1 and place[-2] == "terms"


def _of_yaml(path: Path, text: str) -> Original:
    path.write_text(text, encoding="utf-8")
    return Original(text.encode(), "yaml", read_yaml(path, InputError))


def _of_json(raw: bytes) -> Original:
    return Original(raw, "json", json.loads(raw))


def _rendered(shown: Any) -> None:
    """Printed as a table and as JSON. What steers a terminal is a fault."""
    from rich.console import Console

    page = io.StringIO()
    Console(file=page, width=120).print(shown.table())
    assert page.getvalue().replace("\n", "").isprintable(), ascii(page.getvalue())
    json.dumps(shown.to_dict(), allow_nan=False, ensure_ascii=False).encode()


def _counted(path: Path) -> None:
    _rendered(ist.load(path).count())


def _counted_folder(path: Path) -> None:
    """What `analyze` and `optimize` do with a folder before their work."""
    _rendered(ist.load(path.parent).count(8))
    _loaded(path)


def _loaded(path: Path) -> None:
    load_checkpoint(path.parent, seq_len=8).tokenizer.encode([SENTENCE])


def _scored(path: Path) -> None:
    _rendered(ist.load_mapping(path))


def _described(path: Path) -> None:
    machine = ist.machine(path)
    _rendered(machine)
    machine.to_yaml()


def _decoded(path: Path) -> None:
    """What `analyze` and `generate` do with a file."""
    _rendered(ist.load(path).count(8))
    load_decoder(path).tokenizer.encode(SENTENCE)


def _run(path: Path) -> None:
    """What `analyze` does with a folder of a decoder, and its graph with weights."""
    _rendered(ist.load(path.parent).count(8))
    load_graph(path.parent, Scenario.prefill(4))


def _gptq(folder: Path) -> Original:
    """A decoder whose queries and outputs of attention are GPTQ's, its config.json beside it."""
    tiny = tiny_llama(folder / "quantized")
    said = {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": True}
    tiny.config["quantization_config"] = said
    for name in [one for one in tiny.tensors if "q_proj" in one or "o_proj" in one]:
        outputs, inputs = tiny.tensors.pop(name).shape
        module = name.removesuffix(".weight")
        tiny.tensors |= {
            f"{module}.qweight": np.full((inputs // 8, outputs), 0x12345678, dtype=np.int32),
            f"{module}.qzeros": np.full((inputs // 16, outputs // 8), 0x77777777, dtype=np.int32),
            f"{module}.scales": np.full((inputs // 16, outputs), 0.01, dtype=np.float16),
            f"{module}.g_idx": np.arange(inputs, dtype=np.int32) % 2,
        }
    raw = (tiny.write() / "model.safetensors").read_bytes()
    body = body_of(raw)
    return Original(raw, "header", json.loads(raw[LENGTH_BYTES : len(raw) - len(body)]), body)


def _torch(bert: TinyCheckpoint) -> Original:
    """Its tensors in one storage, one behind the other."""
    content, at = {}, 0
    whole = sum(values.size for values in bert.tensors.values())
    for name, values in bert.tensors.items():
        strides = [stride // values.itemsize for stride in values.strides]
        content[name] = ["FloatStorage", "0", whole, at, list(values.shape), strides]
        at += values.size
    body = b"".join(values.tobytes() for values in bert.tensors.values())
    return Original(torch_file(torch_pickle(content), body), "torch", content, body)


def _gguf(words: str) -> Original:
    """A decoder of one layer. words: the kind of its tokenizer."""
    pieces = ["<unk>", "<s>", "</s>", "\u2581", *"abcdehmnost", "th", "the", "at"]
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.block_count": 1, "llama.context_length": 64, "llama.embedding_length": 32,
        "llama.feed_forward_length": 64, "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2, "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 1e4, "llama.rope.dimension_count": 8,
        "tokenizer.ggml.model": words, "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.token_type": [2, 3, 3, *[1] * (len(pieces) - 3)],
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": "{{ messages[0].content }}",
    }  # fmt: skip
    if words == "gpt2":
        metadata |= {"tokenizer.ggml.merges": ["t h", "th e", "a t"], "tokenizer.ggml.pre": "gpt-2"}
        metadata |= {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0}
    else:
        metadata["tokenizer.ggml.scores"] = [-float(n) for n in range(len(pieces))]
        metadata["llama.attention.sliding_window"] = 16
    shapes = {
        "attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32),
        "ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64),
        "attn_norm": (32,), "ffn_norm": (32,),
    }  # fmt: skip
    named = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
    named |= {"token_embd.weight": (len(pieces), 32), "output_norm.weight": (32,)}
    if words == "llama":
        named["rope_freqs.weight"] = (4,)
    content: dict[str, Any] = {"metadata": metadata, "tensors": {}}
    body = b""
    for name, shape in named.items():
        kind = Q8_0 if "ffn_" in name and len(shape) == 2 else F32 if len(shape) == 1 else F16
        values = np.linspace(0.5, 1, math.prod(shape))
        content["tensors"][name] = [list(shape), kind, len(body)]
        if kind == Q8_0:
            block = np.float16(0.01).tobytes() + bytes(range(32))
            body += block * (values.size // 32)
        else:
            body += values.astype("<f4" if kind == F32 else "<f2").tobytes()
        body += bytes(-len(body) % 32)
    return Original(gguf_file(content, body), "gguf", content, body)


def _mappings(plan: ist.Plan, folder: Path) -> list[str]:
    """The mapping files of a plan, the shortest first."""
    plan.save(folder)
    texts = [one.read_text(encoding="utf-8") for one in (folder / "mappings").iterdir()]
    return sorted(texts, key=len)[:3]


def kinds_in(folder: Path) -> dict[str, Kind]:
    """Every kind, with valid files of it, in a folder of its own."""
    bert = tiny_bert(folder / "model")
    model = bert.write()
    (bert.folder.parent / "torch").mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / "torch" / name).write_bytes((model / name).read_bytes())
    (folder / "other").mkdir()
    config, tokenizer, weights = (
        (model / name).read_bytes()
        for name in ("config.json", "tokenizer.json", "model.safetensors")
    )
    header = json.loads(weights[LENGTH_BYTES : len(weights) - len(body_of(weights))])
    at = folder / "file.yaml"
    plain = ist.layers(*LAYERS).map("eyeriss", perfect=True)
    fused = ist.load("minilm-l6").map("peers-target", seq_len=512, perfect=True)
    nests = [_of_yaml(at, text) for text in (FUSED, *_mappings(plain, folder / "plain"))]
    groups = [_of_yaml(at, text) for text in _mappings(fused, folder / "fused")]
    library = [(LIBRARY / f"{name}.yaml").read_text(encoding="utf-8") for name in MACHINES]

    return {
        "config": Kind(model / "config.json", (_of_json(config),), _counted_folder),
        "other configs": Kind(
            folder / "other" / "config.json",
            tuple(_of_json(json.dumps(one).encode()) for one in CONFIGS),
            lambda path: _rendered(ist.load(path.parent).count(8)),
        ),
        "tokenizer": Kind(
            model / "tokenizer.json",
            (_of_json(tokenizer),),
            _loaded,
            lambda place: place[:-1] == ("model", "vocab"),
        ),
        "safetensors": Kind(
            model / "model.safetensors",
            (Original(weights, "header", header, body_of(weights)),),
            _loaded,
            lambda place: place[0] == "__metadata__",
        ),
        "torch": Kind(folder / "torch" / "pytorch_model.bin", (_torch(bert),), _loaded),
        "quantized": Kind(folder / "quantized" / "model.safetensors", (_gptq(folder),), _run),
        "gguf": Kind(folder / "file.gguf", (_gguf("gpt2"), _gguf("llama")), _decoded),
        "machine": Kind(
            at,
            tuple(_of_yaml(at, text) for text in (EXTENDING, REPLACING, *library)),
            _described,
            lambda place: place[:-1] == ("levels",) or (place[0] == "fan_outs" and len(place) == 3),
        ),
        "parameters": Kind(
            folder / "gemmini_params.h",
            (Original(PARAMETERS.encode(), "text"),),
            lambda path: _rendered(ist.import_machine(path)),
        ),
        "nest": Kind(at, tuple(nests), _scored, _is_dimension),
        "group": Kind(at, tuple(groups), _scored, _is_dimension),
        "layers": Kind(at, (_of_yaml(at, OWN_LAYERS),), _counted),
        "scale-sim": Kind(
            folder / "file.csv",
            tuple(Original(text.encode(), "csv") for text in (CONVOLUTIONS, PRODUCTS)),
            _counted,
        ),
        "timeloop": Kind(
            at,
            (_of_yaml(at, MATMUL), _of_yaml(at, CNN)),
            _counted,
            spellings=frozenset({"data-spaces", "read-write"}),
        ),
    }
