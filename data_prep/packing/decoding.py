"""Decode untrusted image files, one at a time or in chunks for worker processes."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError

# without this list an EPS named .jpg would reach Ghostscript
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "WEBP", "TIFF")
_PAGED = ("WEBP", "TIFF")  # may hold an animation, a stack or several scans
_TILE = (322, 323)  # tags of a TIFF: the width and height of its tiles
_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "jpeg")
MAX_PIXELS = 50_000_000  # 150 MB decoded
MAX_WEBP = 25_000_000  # its decoder holds three more copies, of 4 bytes a pixel
MAX_SIDE = 65_535  # heights and widths are stored as uint16
MAX_RATIO = 32  # of the sides: a thinner image becomes huge when its shorter side is enlarged, here or in training
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})  # modes of 8 bits per channel
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Chunk:
    """Some images to decode together; `origin` names their source, such as an annotation file."""

    origin: str
    pictures: tuple[Picture, ...]
    side: int
    enlarge: bool = False
    upright: bool = False


@dataclass(frozen=True)
class Decoded:
    """A chunk's pixels as flat RGB, one image after the other, and the sizes of the images."""

    pixels: bytes
    height: npt.NDArray[np.uint16]
    width: npt.NDArray[np.uint16]


def decode_chunk(chunk: Chunk) -> Decoded:
    """Decode every image of a chunk; raises DataError naming its origin and the image."""
    pixels, height, width = [], [], []
    with strict_pillow():
        for picture in chunk.pictures:
            try:
                image = decode(picture.read(), picture.name, chunk.side, chunk.enlarge, chunk.upright)
            except DataError as error:
                raise DataError(f"{chunk.origin}: {error}") from None
            pixels.append(image.tobytes())
            height.append(image.height)
            width.append(image.width)
    return Decoded(b"".join(pixels), np.array(height, np.uint16), np.array(width, np.uint16))


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
    most = MAX_WEBP if data[8:12] == b"WEBP" else MAX_PIXELS
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > most or max(image.size) > MAX_SIDE:
                raise Image.DecompressionBombError
            if image.mode not in _MODES:
                raise DataError(f"{name} has the pixel mode {image.mode}. Convert it to 8 bits per channel.")
            if image.format in _PAGED:
                _load_one(image, name)
            return _fit(_rgb(ImageOps.exif_transpose(image) if upright else image), name, side, enlarge)
    except UnidentifiedImageError:
        raise DataError(f"{name} is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image. Convert it.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{name} has more than {most:,} pixels or a side above {MAX_SIDE:,}. Shrink it.") from None
    except _BROKEN as error:
        raise DataError(f"{name} is a broken image ({error}). Replace or remove it.") from None


def _load_one(image: Image.Image, name: str) -> None:
    """Load the only picture of a file; raises DataError for several, and for what libtiff is not trusted with."""
    with contextlib.suppress(EOFError):
        image.seek(1)
        raise DataError(f"{name} holds several pictures. Save the one to use as a file of its own.")
    width, height = (getattr(image, "tag_v2", {}).get(tag, 1) for tag in _TILE)
    if width * height > MAX_PIXELS:  # a tile may be larger than the image, and is decoded whole
        raise Image.DecompressionBombError
    if image.format == "TIFF" and image.info["compression"] not in _COMPRESSIONS:
        raise DataError(f"{name} is a TIFF of the compression {image.info['compression']}. Convert it.")
    with _silent():
        image.load()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Drop what a library writes to standard error itself, as libtiff does about every damaged line."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


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
