"""An image file as its pixels, decoded by Pillow: PNG, JPEG, WebP, GIF, BMP, TIFF, PPM."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.core.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MOST_PIXELS = 2**26
LARGEST_FILE_BYTES = 2**28
MODES = {1: "L", 3: "RGB"}
"""Pillow's, by channels."""


def read_image(path: Path, channels: int) -> Image:
    """Upright; of several pictures the first. Raises DataError, MissingExtraError."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise MissingExtraError("images", "pillow", "images") from None

    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise DataError(str(path), what, need="an image")
    try:
        if (size := path.stat().st_size) > LARGEST_FILE_BYTES:
            need = f"at most {LARGEST_FILE_BYTES:,}"
            raise DataError(str(path), "is too large", got=f"{size:,} bytes", need=need)
        # What Pillow warns of is checked here, or is a fault of the file.
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > MOST_PIXELS:
                got, need = f"{image.width:,} x {image.height:,} pixels", f"at most {MOST_PIXELS:,}"
                raise DataError(str(path), "is too large", got=got, need=need)
            return ImageOps.exif_transpose(image).convert(MODES[channels])
    except UnidentifiedImageError:
        raise DataError(
            str(path), "is no image that is read", need=f"one of {', '.join(FORMATS)}"
        ) from None
    except Image.DecompressionBombError:
        need = f"at most {MOST_PIXELS:,} pixels"
        raise DataError(str(path), "is too large", need=need) from None
    # Pillow's decoders raise of every kind for a damaged file.
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError, ArithmeticError) as failure:
        raise DataError(str(path), "is a damaged image", got=str(failure)[:80]) from None
