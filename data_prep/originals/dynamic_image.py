"""A video as one image: approximate rank pooling of its frames.

Bilen, Fernando, Gavves, Vedaldi, Gould, "Dynamic image networks for action recognition", CVPR 2016: the first step
of gradient descent of a ranking machine that orders the running means V_t of the frames by time gives

    d  =  sum over t of (2t - T - 1) V_t,    V_t = mean of frames 1..t,

which as a weighted sum of frames is their equation for alpha_t = 2(T - t + 1) - (T + 1)(H_T - H_(t-1)), with
harmonic numbers H. Its minimum becomes 0, its maximum 255.
"""

import importlib.util
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from decathlon.data.decoding import MAX_SIDE, decode
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError, UsageError

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DynamicImage(Picture):
    """The dynamic image of a video file, or of `frames` if given; square, as in the challenge."""

    frames: tuple[Picture, ...] = ()

    def read(self) -> bytes | Pixels:
        """Return pixels (side, side, 3), the video's shorter side; raises DataError naming what is broken."""
        stills = (np.asarray(decode(frame.read(), frame.name, MAX_SIDE)) for frame in self.frames)
        image = Image.fromarray(to_bytes(rank_pool(stills if self.frames else video_frames(self), self.name)))
        return np.asarray(image.resize((min(image.size),) * 2, Image.Resampling.LANCZOS))


def rank_pool(frames: Iterable[Pixels], name: str) -> npt.NDArray[np.float64]:
    """Return the rank-pooled frames (height, width, 3), not rescaled; frames are read once and not kept.

    Raises DataError without frames, or if they differ in size.
    """
    sums = np.zeros((3, 0))  # running sums of frames, of t V_t and of V_t
    number = 0
    for frame in frames:
        number += 1
        if number == 1:
            sums = np.zeros((3, *frame.shape))
        total, by_time, means = sums
        if frame.shape != total.shape:
            raise DataError(f"{name}: frame {number} differs in size from the first. Extract the frames again.")
        total += frame
        by_time += total
        means += total / number
    if not number:
        raise DataError(f"{name} has no frames. Copy it again or remove it from the lists.")
    pooled: npt.NDArray[np.float64] = 2 * sums[1] - (number + 1) * sums[2]
    return pooled


def to_bytes(pooled: npt.NDArray[np.float64]) -> Pixels:
    """Stretch values to 0..255; a video without motion becomes middle grey."""
    low, high = float(pooled.min()), float(pooled.max())
    if high - low < 1e-6:  # rounding errors
        return np.full(pooled.shape, 128, np.uint8)
    return np.rint((pooled - low) * (255 / (high - low))).astype(np.uint8)


def require_av() -> None:
    """Raise UsageError if the package av is not installed: before long work, not in the middle of it."""
    if importlib.util.find_spec("av") is None:
        raise UsageError(
            "decoding videos needs the package av. Extract the frames yourself, or run: pip install av"
        )


def video_frames(video: Picture) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the RGB frames (height, width, 3) of a video file.

    Raises UsageError if av is not installed, DataError naming the video if it is damaged.
    """
    require_av()
    import av

    data = Picture.read(video)  # as a file: `video.read` may be the caller
    assert isinstance(data, bytes)
    try:
        with av.open(io.BytesIO(data)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, IndexError) as error:  # the latter: no video stream
        reason = " ".join(str(error).split())
        raise DataError(
            f"{video.name} is a broken video ({reason}). Copy it again or remove it from the lists."
        ) from None
