"""Decode an untrusted image file to the pixels that are packed; serving does the same to an opened image."""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from decathlon.errors import DataError

FORMATS = ("JPEG", "PNG", "PPM")  # without this list an EPS named .jpg would reach Ghostscript
MAX_PIXELS = 50_000_000  # 150 MB decoded
MAX_SIDE = 65_535  # heights and widths are stored as uint16
MAX_RATIO = 32  # of the sides: a thinner image becomes huge when its shorter side is enlarged, here or in training
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})  # modes of 8 bits per channel
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error, OverflowError,
)  # fmt: skip


@contextlib.contextmanager
def strict_pillow() -> Iterator[None]:
    """Silence Pillow about metadata, which is not used, and refuse images that would exhaust memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode(
    data: bytes | npt.NDArray[np.uint8], name: str, side: int, enlarge: bool = False, upright: bool = False
) -> Image.Image:
    """Decode one image file, or pixels, to RGB; a shorter side above `side` is reduced to it, in proportion.

    With `enlarge` a shorter side below `side` is enlarged to it. Shrinking uses Pillow's Lanczos filter, enlarging
    the bicubic one. With `upright` the orientation tag of a photograph is applied; the challenge did not do that.
    Raises DataError for images that are broken, cut short, too large, too thin, or gray with more than 8 bits (of
    colours Pillow keeps the upper 8).
    """
    if isinstance(data, np.ndarray):
        return _fit(Image.fromarray(data).convert("RGB"), name, side, enlarge)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise Image.DecompressionBombError
            if image.mode not in _MODES:
                raise DataError(f"{name} has the pixel mode {image.mode}. Convert it to 8 bits per channel.")
            return _fit(_rgb(ImageOps.exif_transpose(image) if upright else image), name, side, enlarge)
    except UnidentifiedImageError:
        raise DataError(f"{name} is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image. Convert it.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(
            f"{name} has more than {MAX_PIXELS:,} pixels or a side above {MAX_SIDE:,}. Shrink it."
        ) from None
    except _BROKEN as error:
        raise DataError(f"{name} is a broken image ({error}). Replace or remove it.") from None


def _rgb(image: Image.Image) -> Image.Image:
    if "transparency" in image.info:  # otherwise Pillow guesses a transparent colour for RGB
        image = image.convert("RGBA")
    return image.convert("RGB")


def _fit(image: Image.Image, name: str, side: int, enlarge: bool) -> Image.Image:
    short, long = sorted(image.size)
    if long > MAX_RATIO * short:
        raise DataError(
            f"{name} has {image.width} x {image.height} pixels, above the aspect ratio {MAX_RATIO} to 1. Crop it."
        )
    if short == side or (short < side and not enlarge):
        return image
    width, height = (max(side, round(length * side / short)) for length in image.size)
    # Lanczos rings when enlarging: dark and bright lines beside every edge.
    resampling = Image.Resampling.LANCZOS if short > side else Image.Resampling.BICUBIC
    return image.resize((width, height), resampling)
