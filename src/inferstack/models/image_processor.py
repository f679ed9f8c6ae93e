"""From an image to what a model sees: resized, cropped and scaled as preprocessor_config.json says.

Source: transformers, image_processing_backends.py (PilBackend), and the defaults of models/vit and
models/deit, which old files leave out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError, DataError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile, read_object

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.Image import Image

    Array = npt.NDArray[Any]

FILE = "preprocessor_config.json"
LARGEST = 2**14
FILTERS = 6
"""Of Pillow: nearest, lanczos, bilinear, bicubic, box, hamming."""
BILINEAR, BICUBIC = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProcessor:
    """size: height and width to resize to; None does not. shortest: to resize the shorter edge to,
    instead. resample: Pillow's number of a filter. crop: height and width, out of the middle.
    scale: of the bytes. mean, deviation: of each channel."""

    size: tuple[int, int] | None
    shortest: int | None
    resample: int
    crop: tuple[int, int] | None
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def made(self) -> tuple[int, int] | None:
        """Height and width of every result; None where they are those of the image."""
        return self.crop or self.size

    def of(self, where: str, image: Image) -> Array:
        """Pixels (channels, height, width), float32. Raises DataError for what is too small."""
        import numpy as np

        wide, high = image.size
        if self.shortest is not None:
            longer = int(self.shortest * max(wide, high) / min(wide, high))
            wanted = (self.shortest, longer) if wide <= high else (longer, self.shortest)
            if longer > LARGEST:
                need = f"sides up to {LARGEST:,} once the shorter is {self.shortest:,}"
                raise DataError(where, "is too long", got=f"{wide:,} x {high:,}", need=need)
            image = image.resize(wanted, resample=self.resample)
        elif self.size is not None:
            image = image.resize(self.size[::-1], resample=self.resample)
        pixels = np.asarray(image).reshape(image.size[1], image.size[0], -1)
        if self.crop is not None:
            height, width = self.crop
            top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
            if top < 0 or left < 0:
                need = f"at least {width:,} x {height:,} pixels"
                raise DataError(where, "is too small", got=f"{wide:,} x {high:,}", need=need)
            pixels = pixels[top : top + height, left : left + width]
        scaled = (pixels * self.scale).astype(np.float32)
        mean, deviation = (np.array(one, np.float32) for one in (self.mean, self.deviation))
        return np.ascontiguousarray(np.moveaxis((scaled - mean) / deviation, -1, 0))


def read_image_processor(
    folder: Path, model_type: str, channels: int, needed: tuple[int, int]
) -> ImageProcessor:
    """needed: height and width of what the model sees. Raises CheckpointError."""
    content = read_object(folder, FILE)
    if content is None:
        raise CheckpointError(str(folder), f"has no {FILE}", need="how an image is prepared")
    file, deit = ConfigFile(str(folder / FILE), content), model_type == "deit"
    size: tuple[int, int] | None = None
    shortest = None
    if file.flag("do_resize", True):
        size = _size(file, "size", 256 if deit else 224)
        shortest = _shortest(file)
    crop = _size(file, "crop_size", 224) if file.flag("do_center_crop", deit) else None
    file.only("do_pad", False)
    normal = file.flag("do_normalize", True)
    rescaled = file.flag("do_rescale", True)
    read = ImageProcessor(
        size=size if shortest is None else None,
        shortest=shortest,
        resample=file.whole_or("resample", BICUBIC if deit else BILINEAR, FILTERS - 1, least=0),
        crop=crop,
        scale=file.number_or("rescale_factor", 1 / 255, 1e-9, 1e9) if rescaled else 1.0,
        mean=_channels(file, "image_mean", channels, 0.5) if normal else (0.0,) * channels,
        deviation=_channels(file, "image_std", channels, 0.5) if normal else (1.0,) * channels,
    )
    if read.made != needed:
        made = "the image's own size" if read.made is None else f"{read.made[1]} x {read.made[0]}"
        raise CheckpointError(
            file.where, "prepares images of another size than the model sees",
            got=made, need=f"{needed[1]} x {needed[0]}",
        )  # fmt: skip
    if min(read.deviation) < 1e-9:
        raise CheckpointError(file.where, "image_std makes no sense", need="more than 0")
    return read


def _size(file: ConfigFile, key: str, absent: int) -> tuple[int, int] | None:
    """A number for a square, or height and width; None for another way to say it."""
    value = file.optional(key, None)
    if not isinstance(value, dict):
        side = file.whole_or(key, absent, LARGEST)
        return side, side
    if "shortest_edge" in value and "height" not in value:
        return None
    inner = ConfigFile(f"{file.where}, {key}", value)
    return inner.whole("height", LARGEST), inner.whole("width", LARGEST)


def _shortest(file: ConfigFile) -> int | None:
    value = file.optional("size", None)
    if not isinstance(value, dict) or "shortest_edge" not in value or "height" in value:
        return None
    inner = ConfigFile(f"{file.where}, size", value)
    inner.only("longest_edge", None)
    return inner.whole("shortest_edge", LARGEST)


def _channels(file: ConfigFile, key: str, channels: int, absent: float) -> tuple[float, ...]:
    """A number for each; one alone is of all."""
    value = file.optional(key, None)
    if value is None:
        return (absent,) * channels
    if isinstance(value, list) and len(value) == channels:
        return file.numbers(key, channels)
    if type(value) in (int, float):
        return (file.number(key, -1e6, 1e6),) * channels
    raise CheckpointError(
        file.where, f"{key} makes no sense", got=printable(str(value)),
        need=f"{channels} numbers",
    )  # fmt: skip
