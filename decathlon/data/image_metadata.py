"""What image files hold beside pixels: the orientation is read from it, and its faults must not cost a picture."""

import struct
import zlib
from collections.abc import Iterator, Mapping

from PIL import ExifTags, Image

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # chunks of a PNG
# Segments of a JPEG that pixels do not depend on: comments and applications' data. JFIF (0) and Adobe (14) say how
# colours are stored, 1 holds the orientation.
_BESIDE = frozenset({0xFE, *range(0xE2, 0xEE), 0xEF})
_TURNS: Mapping[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turned(image: Image.Image) -> Image.Image:
    """Return an image turned by its orientation tag, or as it is where no tag can be read.

    Pillow's `exif_transpose` writes the other tags back and fails for any of them that is wrong.
    """
    image.load()  # whatever fails below is metadata
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except MemoryError:
        raise
    except Exception:  # Pillow documents none: no TIFF, cut short, a value of another type
        turn = None
    return image if turn is None else image.transpose(turn)


def without_metadata(data: bytes) -> bytes:
    """Return a PNG or JPEG file without what neither pixels nor orientation depend on, other data unchanged."""
    if data.startswith(_PNG):
        return _PNG + b"".join(_chunks(data))
    return _JPEG + b"".join(_segments(data)) if data.startswith(_JPEG) else data


def _chunks(data: bytes) -> Iterator[bytes]:
    """Yield the chunks of a PNG that are kept, and from the first impossible one on everything."""
    place = len(_PNG)
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place) if place + 12 <= len(data) else (len(data),)
        end = place + 12 + length
        if end > len(data):
            yield data[place:]
            return
        kind = data[place + 4 : place + 8]
        sound = zlib.crc32(data[place + 4 : end - 4]) == int.from_bytes(data[end - 4 : end])
        if kind in _PIXELS or (kind == b"eXIf" and sound):
            yield data[place:end]
        place = end


def _segments(data: bytes) -> Iterator[bytes]:
    """Yield the segments of a JPEG that are kept, and from the pixels on everything."""
    place = len(_JPEG)
    while place + 4 <= len(data) and data[place] == 0xFF and 0xC0 <= data[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if data[place + 1] not in _BESIDE:
            yield data[place:end]
        place = end
    yield data[place:]
