"""What type checkers and editors see of `import inferstack`; the names load lazily."""

from inferstack.api.classifier import Classifier as Classifier
from inferstack.api.compare import Comparison as Comparison
from inferstack.api.compare import compare as compare
from inferstack.api.counts import Counts as Counts
from inferstack.api.decoder import Decoder as Decoder
from inferstack.api.doctor import doctor as doctor
from inferstack.api.encoder import Encoder as Encoder
from inferstack.api.layer import Layer as Layer
from inferstack.api.library import Models as Models
from inferstack.api.library import named_models as named_models
from inferstack.api.machine import Machine as Machine
from inferstack.api.machine import import_machine as import_machine
from inferstack.api.machine import machine as machine
from inferstack.api.model import Model as Model
from inferstack.api.model import layers as layers
from inferstack.api.model import load as load
from inferstack.api.names import machine_names as machine_names
from inferstack.api.names import method_names as method_names
from inferstack.api.names import model_names as model_names
from inferstack.api.names import objective_names as objective_names
from inferstack.api.plan import Plan as Plan
from inferstack.api.result import Result as Result
from inferstack.api.sample import fetch_sample as fetch_sample
from inferstack.api.schedule import Schedule as Schedule
from inferstack.api.schedule import load_mapping as load_mapping
from inferstack.api.text_to_text import TextToText as TextToText
from inferstack.api.transcriber import Transcriber as Transcriber
from inferstack.core.errors import InferStackError as InferStackError
from inferstack.core.errors import InputError as InputError
from inferstack.core.infeasible import DoesNotFitError as DoesNotFitError

__version__: str
__all__: list[str]
