"""InferStack: full-stack optimization of Transformer inference.

    import inferstack as ist

    model = ist.load("bert-base")
    print(model.count(512))
    print(model.map("peers-target", seq_len=512))

Every name below is loaded when it is first used; `import inferstack` itself loads nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "import_machine": "inferstack.api.machine",
    "layers": "inferstack.api.model",
    "load": "inferstack.api.model",
    "Model": "inferstack.api.model",
    "Counts": "inferstack.api.counts",
    "machine": "inferstack.api.machine",
    "Machine": "inferstack.api.machine",
    "Layer": "inferstack.api.layer",
    "Schedule": "inferstack.api.schedule",
    "load_mapping": "inferstack.api.schedule",
    "Plan": "inferstack.api.plan",
    "compare": "inferstack.api.compare",
    "Comparison": "inferstack.api.compare",
    "Classifier": "inferstack.api.classifier",
    "Decoder": "inferstack.api.decoder",
    "Encoder": "inferstack.api.encoder",
    "TextToText": "inferstack.api.text_to_text",
    "Transcriber": "inferstack.api.transcriber",
    "Result": "inferstack.api.result",
    "fetch_sample": "inferstack.api.sample",
    "doctor": "inferstack.api.doctor",
    "named_models": "inferstack.api.library",
    "Models": "inferstack.api.library",
    "model_names": "inferstack.api.names",
    "machine_names": "inferstack.api.names",
    "objective_names": "inferstack.api.names",
    "method_names": "inferstack.api.names",
    "InferStackError": "inferstack.core.errors",
    "InputError": "inferstack.core.errors",
    "DoesNotFitError": "inferstack.core.infeasible",
}
"""Where each public name lives; `__init__.pyi` says the same to type checkers."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'inferstack' has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
