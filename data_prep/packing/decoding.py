"""Decode images in chunks, for worker processes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decathlon.data.decoding import decode, strict_pillow
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError


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
