"""Dynamic images: rank pooling against its definition and the paper's coefficients, frames and videos that fail."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from decathlon.data_prep.originals.dynamic_image import DynamicImage, rank_pool, to_bytes
from decathlon.data_prep.packing.decoding import Chunk, decode_chunk
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError, UsageError
from tests.helpers.challenge_sources import png

Pixels = npt.NDArray[np.uint8]


def clip(frames: int) -> Pixels:
    return np.random.default_rng(frames).integers(0, 256, (frames, 6, 8, 3), np.uint8)


@pytest.mark.parametrize("number", [2, 3, 10, 57])
def test_pooling_is_the_first_step_of_a_ranking_machine(number: int) -> None:
    """The gradient of the pairwise hinge loss at zero: every later mean minus every earlier one."""
    frames = clip(number)
    means = np.cumsum(frames, axis=0, dtype=np.float64) / np.arange(1, number + 1)[:, None, None, None]
    expected = sum(means[later] - means[earlier] for earlier, later in combinations(range(number), 2))
    assert np.allclose(rank_pool(frames, "clip"), expected, atol=1e-8)


@pytest.mark.parametrize("number", [1, 2, 10, 57])
def test_pooling_weighs_frames_as_the_paper_says(number: int) -> None:
    harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1, number + 1))])
    alpha = [
        2 * (number - t + 1) - (number + 1) * (harmonic[number] - harmonic[t - 1]) for t in range(1, number + 1)
    ]
    assert np.allclose(rank_pool(clip(number), "clip"), np.tensordot(alpha, clip(number), 1), atol=1e-8)


def test_pooling_tells_the_direction_of_time() -> None:
    """A control: plain averaging would give the same image forwards and backwards."""
    frames = clip(9)
    forwards, backwards = (rank_pool(order, "clip").ravel() for order in (frames, frames[::-1]))
    assert np.corrcoef(forwards, backwards)[0, 1] < -0.2


def test_a_frame_is_seen_once_and_not_kept() -> None:
    def endless() -> Iterator[Pixels]:
        yield from clip(5)

    assert np.array_equal(rank_pool(endless(), "clip"), rank_pool(clip(5), "clip"))


def test_values_are_stretched_and_a_still_video_is_grey() -> None:
    assert to_bytes(np.array([-3.0, -1.0, 1.0, 5.0])).tolist() == [0, 64, 128, 255]
    still = np.repeat(clip(1), 30, axis=0)
    assert set(to_bytes(rank_pool(still, "clip")).ravel().tolist()) == {128}


def test_a_dynamic_image_is_square_and_comes_back_from_its_frames() -> None:
    frames = tuple(Picture(f"{i}.png", data=png(frame)) for i, frame in enumerate(clip(4)))
    done = decode_chunk(Chunk("list", (DynamicImage("clip", frames=frames),), 6))
    assert (done.height.tolist(), done.width.tolist()) == ([6], [6])
    square = np.concatenate([clip(4)[:, :, :6]])
    frames = tuple(Picture(f"{i}.png", data=png(frame)) for i, frame in enumerate(square))
    assert np.array_equal(DynamicImage("clip", frames=frames).read(), to_bytes(rank_pool(square, "clip")))


def test_frames_of_two_sizes_and_broken_ones_are_named() -> None:
    sizes = (Picture("1.png", data=png(clip(1)[0])), Picture("2.png", data=png(clip(1)[0][:3])))
    with pytest.raises(DataError, match="v_Archery: frame 2 differs in size from the first"):
        DynamicImage("v_Archery", frames=sizes).read()
    with pytest.raises(DataError, match=r"list: 2\.png is not a JPEG"):
        broken = DynamicImage("v_Archery", frames=(sizes[0], Picture("2.png", data=b"no")))
        decode_chunk(Chunk("list", (broken,), 72))
    with pytest.raises(DataError, match="v_Archery has no frames"):
        rank_pool([], "v_Archery")


def test_videos_without_their_decoder_end_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs the package av. Extract the frames yourself"):
        DynamicImage("v_Archery", data=b"RIFF").read()


def test_a_video_file_is_decoded(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path, t = tmp_path / "v.avi", np.arange(12)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 4_000_000
        for i in t:
            frame = np.full((48, 64, 3), 40, np.uint8)
            frame[10:30, 4 * i : 4 * i + 8] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    whole = path.read_bytes()
    image = DynamicImage("v", str(path)).read()
    assert isinstance(image, np.ndarray) and image.shape == (48, 48, 3)
    began, ended, still = (int(image[y, x, 0]) for y, x in ((20, 2), (20, 30), (40, 20)))
    assert began + 50 < still < ended
    assert np.array_equal(DynamicImage("v", data=whole).read(), image)
    with pytest.raises(DataError, match="v is a broken video"):
        DynamicImage("v", data=b"RIFF" + whole[100:200]).read()
