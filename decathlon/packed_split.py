"""One split of one domain in memory, and the digest of its columns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class PackedSplit:
    """One split of one domain as arrays; the columns of the packed file."""

    pixels: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]
    height: npt.NDArray[np.uint16]
    width: npt.NDArray[np.uint16]
    label: npt.NDArray[np.int32]
    image_id: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image_id)

    def image(self, i: int) -> npt.NDArray[np.uint8]:
        """Return image `i` as (height, width, 3)."""
        begin, end = self.offset[i], self.offset[i + 1]
        return self.pixels[begin:end].reshape(int(self.height[i]), int(self.width[i]), 3)


COLUMNS = tuple(field.name for field in fields(PackedSplit))
DTYPES = dict(zip(COLUMNS, (np.uint8, np.int64, np.uint16, np.uint16, np.int32, np.int64), strict=True))


def digest_columns(split: PackedSplit) -> str:
    """Return the digest of a split held in memory; equal to what a streaming writer gets from `combine`."""
    return combine({c: hashlib.sha256(np.ascontiguousarray(getattr(split, c)).data).hexdigest() for c in COLUMNS})


def combine(digests: dict[str, str]) -> str:
    """Return one SHA-256 over named SHA-256 digests, in the order of their names."""
    text = "".join(f"{name}:{digests[name]};" for name in sorted(digests))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()  # a damaged one may hold any character
