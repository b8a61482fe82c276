"""Image files of others to the RGB pixels that are packed; serving does the same to images that are open."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from decathlon.data.domains import MAX_PIXELS, MAX_RATIO
from decathlon.data.image_metadata import turned, without_metadata
from decathlon.errors import DataError

# without this list an EPS named .jpg would reach Ghostscript
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "WEBP", "TIFF")
_PAGED = ("WEBP", "TIFF")  # may hold an animation, a stack or several scans
_TILE = (322, 323)  # tags of a TIFF: the width and height of its tiles
_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "jpeg")
MAX_WEBP = 25_000_000  # its decoder holds three more copies, of 4 bytes a pixel
MAX_SIDE = 65_535  # heights and widths are stored as uint16
GROUND = "white"  # what is seen through transparent pixels: paper, as in every viewer
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})  # modes of 8 bits per channel
_SAMPLES = {"L;2": 255 / 3, "L;4": 255 / 15, "RGB;16B": 1 / 256}  # of a PNG: a sample to one of 8 bits
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
    Transparent pixels are laid on white. Faults in metadata, which is not used, do not matter.
    Raises DataError for images that are broken, cut short, too large, too thin, or gray with more than 8 bits (of
    colours Pillow keeps the upper 8).
    """
    if isinstance(data, np.ndarray):
        return _fit(Image.fromarray(data).convert("RGB"), name, side, enlarge)
    with _refusing(name):
        try:
            return _decode(data, name, side, enlarge, upright)
        except _BROKEN as error:
            # metadata of a JPEG are read when it is opened, those of a PNG behind its pixels too
            early = isinstance(error, UnidentifiedImageError) or not data.startswith(b"\xff\xd8")
            bare = without_metadata(data) if early else data
            if len(bare) == len(data):
                raise
        return _decode(bare, name, side, enlarge, upright)


def packed_pixels(image: Image.Image, name: str, side: int, enlarge: bool, upright: bool) -> Image.Image:
    """Return an open image as `decode` returns it from its file; raises DataError where `decode` does."""
    with _refusing(name):
        if image.format not in (*FORMATS, "MPO", None):  # MPO: Pillow's word for a JPEG with others behind it
            raise UnidentifiedImageError
        if image.format in _PAGED:
            _load_one(image, name)
        return _pixels(image, name, side, enlarge, upright)


def plain_pixels(image: Image.Image, name: str) -> Image.Image:
    """Return an open image as RGB, nothing else done; raises DataError for one of more than 8 bits a channel."""
    with _refusing(name):
        _refuse_mode(image, name)
        return image.convert("RGB")


def _decode(data: bytes, name: str, side: int, enlarge: bool, upright: bool) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.format in _PAGED:
            _load_one(image, name)
        return _pixels(image, name, side, enlarge, upright)


def _load_one(image: Image.Image, name: str) -> None:
    """Load the only picture of a file; raises DataError for several, and for what libtiff is not trusted with."""
    if image.format == "WEBP" and image.width * image.height > MAX_WEBP:
        raise DataError(f"{name} has more than {MAX_WEBP:,} pixels, the limit of a WebP. Shrink it.")
    _refuse_size(image)
    _refuse_mode(image, name)
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


def _pixels(image: Image.Image, name: str, side: int, enlarge: bool, upright: bool) -> Image.Image:
    _refuse_size(image)
    _refuse_mode(image, name)
    _scale_transparency(image)
    return _fit(_rgb(turned(image) if upright else image), name, side, enlarge)


@contextlib.contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Raise DataError with the name of the image for whatever Pillow raises."""
    try:
        yield
    except UnidentifiedImageError:
        raise DataError(f"{name} is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image. Convert it.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(
            f"{name} has more than {MAX_PIXELS:,} pixels or a side above {MAX_SIDE:,}. Shrink it."
        ) from None
    except _BROKEN as error:
        raise DataError(f"{name} is a broken image ({error}). Replace or remove it.") from None


def _refuse_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise Image.DecompressionBombError


def _refuse_mode(image: Image.Image, name: str) -> None:
    if image.mode not in _MODES:
        raise DataError(f"{name} has the pixel mode {image.mode}. Convert it to 8 bits per channel.")


def _scale_transparency(image: Image.Image) -> None:
    """Bring the one colour that a PNG declares transparent to the 8 bits of its pixels, which Pillow does not."""
    scale = _SAMPLES.get(str(image.tile[0].args)) if isinstance(image, PngImageFile) and image.tile else None
    colour = image.info.get("transparency")
    if scale and isinstance(colour, int | tuple):
        whole = [int(sample * scale) for sample in (colour if isinstance(colour, tuple) else (colour,))]
        image.info["transparency"] = tuple(whole) if isinstance(colour, tuple) else whole[0]


def _rgb(image: Image.Image) -> Image.Image:
    """Return an image as RGB, its transparent pixels laid on the ground."""
    if image.mode not in ("RGBA", "LA"):
        if image.mode != "PA" and "transparency" not in image.info:
            return image.convert("RGB")
        image = image.convert("RGBA")
    ground = Image.new("RGB", image.size, GROUND)
    ground.paste(image, mask=image)
    return ground


def _fit(image: Image.Image, name: str, side: int, enlarge: bool) -> Image.Image:
    short, long = sorted(image.size)
    if long > MAX_RATIO * short:
        raise DataError(
            f"{name} has {image.width} x {image.height} pixels, above the aspect ratio {MAX_RATIO} to 1. Crop it."
        )
    if short == side or (short < side and not enlarge):
        return image
    width, height = (max(side, round(length * side / short)) for length in image.size)
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:  # enlarged: what was shrunk has fewer
        problem = f"{name} would be enlarged to {width:,} x {height:,} pixels"
        limit = f"above {MAX_PIXELS:,} pixels or a side of {MAX_SIDE:,}"
        raise DataError(f"{problem}, {limit}. Crop it, or choose a smaller side.")
    # Lanczos rings when enlarging: dark and bright lines beside every edge.
    resampling = Image.Resampling.LANCZOS if short > side else Image.Resampling.BICUBIC
    return image.resize((width, height), resampling)
