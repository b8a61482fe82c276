"""The frames of a video, decoded by the package av where it is installed."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError, UsageError


def require_av() -> None:
    """Raise UsageError when the package av is not installed: before long work, not in the middle of it."""
    if importlib.util.find_spec("av") is None:
        raise UsageError("decoding videos needs the package av: pip install av, or extract their frames yourself.")


def video_frames(video: Picture) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the frames (height, width, 3) in RGB of a video file, wherever its bytes are.

    Raises UsageError when av is not installed, DataError naming the video when it is damaged.
    """
    require_av()
    import av

    data = Picture.read(video)  # as a file: `video.read` may be what asks for the frames
    assert isinstance(data, bytes)
    try:
        with av.open(io.BytesIO(data)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, IndexError) as error:  # the latter: it has no video stream
        reason = " ".join(str(error).split())
        raise DataError(
            f"{video.name} is a broken video ({reason}): copy it again or take it out of the lists."
        ) from None
