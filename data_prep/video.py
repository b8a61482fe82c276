"""The frames of a video, decoded by the package av where it is installed."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from decathlon.errors import DataError, UsageError


def video_frames(data: bytes | npt.NDArray[np.uint8], name: str) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the frames (height, width, 3) in RGB of the video file with these bytes.

    Raises UsageError when av is not installed, DataError naming the video when it is damaged.
    """
    try:
        import av
    except ImportError:
        raise UsageError(
            f"decoding {name} needs the package av: pip install av, or extract the frames with a program of yours."
        ) from None
    try:
        with av.open(io.BytesIO(data)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, IndexError) as error:  # the latter: it has no video stream
        raise DataError(f"{name} is a broken video ({error}): copy it again or take it out of the lists.") from None
