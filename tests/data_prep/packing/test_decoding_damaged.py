"""Image files that were damaged every way, decoded as `data prepare` does: a picture or a refusal, nothing else."""

from __future__ import annotations

import io
import random
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from decathlon.data_prep.packing.decoding import Chunk, decode_chunk
from decathlon.data_prep.sources.image_ref import Picture
from tests.helpers.forked import REFUSED, forked, judged

DECODED = "decoded"
LARGEST = 1 << 30  # bytes of address space: 50 million pixels of CMYK, converted to RGB and resized, fit in


def encode(mode: str, form: str, **options: object) -> bytes:
    """Return an image file with metadata, smooth enough for its blocks to differ in length."""
    y, x = np.mgrid[0:90, 0:120]
    noise = np.random.default_rng(0).integers(0, 40, (90, 120, 3))
    pixels = (np.stack([x, y, x + y], 2) + noise).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, form, **options)
    return out.getvalue()


def _sources() -> dict[str, list[bytes]]:
    exif, text = Image.Exif(), PngInfo()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    text.add_text("name", "a picture")
    text.add_text("packed", "a picture " * 40, zip=True)
    text.add_itxt("words", "ä", zip=True)
    return {
        "JPEG": [
            encode("RGB", "JPEG", exif=exif, dpi=(72, 72), comment="a"), encode("RGB", "JPEG", progressive=True),
            encode("CMYK", "JPEG"), encode("L", "JPEG", icc_profile=bytes(200)),
            encode("RGB", "JPEG", subsampling=0),
        ],
        "PNG": [
            encode("RGB", "PNG", pnginfo=text, exif=exif), encode("P", "PNG", transparency=b"\0\1\2"),
            encode("RGBA", "PNG", icc_profile=b"\0" * 200), encode("1", "PNG"), encode("LA", "PNG"),
        ],
        "PPM": [
            encode("RGB", "PPM"), encode("L", "PPM"), encode("1", "PPM"),
            b"P3\n# text\n4 3\n255\n" + b"1 2 255\n" * 12, b"P2 4 3 15\n" + b"1 2 15 " * 4,
            b"P1\n4 3\n" + b"0 1 " * 6, b"P6 4 3 65535\n" + bytes(72),
        ],
        "WEBP": [
            encode("RGB", "WEBP", exif=exif), encode("RGB", "WEBP", lossless=True),
            encode("RGBA", "WEBP", icc_profile=bytes(200)), encode("RGBA", "WEBP", lossless=True),
        ],
        "TIFF": [
            encode("RGB", "TIFF", exif=exif), encode("L", "TIFF", compression="tiff_lzw"),
            encode("RGBA", "TIFF", compression="tiff_adobe_deflate"), encode("1", "TIFF", compression="packbits"),
            encode("RGB", "TIFF", compression="jpeg"), encode("CMYK", "TIFF", compression="packbits"),
            encode("P", "TIFF", big_tiff=True),
        ],
        "BMP": [encode(mode, "BMP") for mode in ("RGB", "L", "P", "1", "RGBA")],
    }  # fmt: skip


SOURCES = _sources()
Damage = Callable[[bytearray, random.Random], bytearray]


def _part(data: bytearray, chance: random.Random) -> slice:
    begin = chance.randrange(len(data))
    return slice(begin, begin + chance.choice((1, 2, 4, 16, 64, 500)))


def flips(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 3, 20))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def head(data: bytearray, chance: random.Random) -> bytearray:
    """Change the first bytes, where sizes and kinds stand."""
    for _ in range(chance.choice((1, 2, 4))):
        data[chance.randrange(2, min(len(data), 64))] = chance.choice(
            (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
        )
    return data


def cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(len(data))]


def take_out(data: bytearray, chance: random.Random) -> bytearray:
    del data[_part(data, chance)]
    return data


def insert(data: bytearray, chance: random.Random) -> bytearray:
    place = chance.randrange(len(data))
    data[place:place] = chance.choice((bytes(9), b"\xff" * 5, chance.randbytes(chance.choice((1, 7, 300)))))
    return data


def double(data: bytearray, chance: random.Random) -> bytearray:
    place = chance.randrange(len(data))
    data[place:place] = data[_part(data, chance)]
    return data


def blank(data: bytearray, chance: random.Random) -> bytearray:
    part = _part(data, chance)
    data[part] = bytes([chance.choice((0, 0xFF))]) * len(data[part])
    return data


def sizes(data: bytearray, chance: random.Random) -> bytearray:
    """Claim another size, in the place where each format has it."""
    width, height = (
        chance.choice((0, 1, 200, 7000, 7000, 7000, 65535, 65536, 2**31 - 1, 2**32 - 1)) for _ in range(2)
    )
    if data.startswith(b"\x89PNG"):
        data[16:24] = struct.pack(">II", width, height)
        return checked(data)
    if data.startswith(b"\xff\xd8"):
        frame = re.search(rb"\xff[\xc0\xc2]", data)
        if frame is None:  # other damage took it out
            return data
        data[frame.start() + 5 : frame.start() + 9] = struct.pack(">HH", height % 65536, width % 65536)
        return data
    if data.startswith(b"RIFF"):  # of the canvas, the lossy or the lossless picture
        kind = bytes(data[12:16])
        place = {b"VP8 ": 26, b"VP8L": 21}.get(kind, 24)
        wide, high = struct.pack("<I", width & 0xFFFFFF), struct.pack("<I", height & 0xFFFFFF)
        data[place : place + 6] = wide[:3] + high[:3] if kind == b"VP8X" else wide[:2] + high[:2] + data[-2:]
        return data
    if data.startswith((b"II", b"MM")):
        for tag, value in ((256, width), (257, height), (278, height), (322, width), (323, height)):
            place = data.find(struct.pack("<H", tag))
            if 8 <= place < len(data) - 12:  # as a number of 32 bits
                data[place + 2 : place + 12] = struct.pack("<HII", 4, 1, value)
        return data
    if data.startswith(b"BM"):
        data[18:26] = struct.pack("<II", width, height)
        return data
    return bytearray(re.sub(rb"\d+ \d+", b"%d %d" % (width, height), bytes(data), count=1))


def checked(data: bytearray) -> bytearray:
    """Give every chunk of a PNG the checksum it should have, so that what is inside is read."""
    place = 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return data


DAMAGES: tuple[Damage, ...] = (flips, head, cut, take_out, insert, double, blank, sizes)


def damaged(form: str, seed: int) -> bytes:
    """Return a file of a form with one to three kinds of damage; of every other PNG the checksums are right."""
    chance = random.Random(seed)
    data = bytearray(chance.choice(SOURCES[form]))
    for damage in chance.sample(DAMAGES, chance.choice((1, 1, 2, 3))):
        data = damage(data, chance) or bytearray(b"x")
    return bytes(checked(data) if form == "PNG" and seed % 2 else data)


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("form", SOURCES)
def test_damaged_images_are_decoded_or_refused(tmp_path: Path, form: str, count: int) -> None:
    """No crash, no line on standard error, bounded memory and time."""
    path = tmp_path / "x.jpg"

    def use(seed: int) -> str:
        path.write_bytes(damaged(form, seed))

        def decoded() -> str:
            chunk = decode_chunk(Chunk("a.json", (Picture("x.jpg", str(path)),), 72, seed % 3 == 0, seed % 5 == 0))
            height, width = int(chunk.height[0]), int(chunk.width[0])
            assert len(chunk.pixels) == 3 * height * width and min(height, width) > 0
            return DECODED

        return judged(decoded)

    came = forked(range(count), use, LARGEST)
    assert came.counts.keys() == {REFUSED, DECODED}
    assert came.counts[REFUSED] > count / 4
    assert came.slowest < 5 and came.memory < LARGEST


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("JPEG", "CMYK", {}), ("PNG", "RGBA", {}), ("WEBP", "RGBA", {"lossless": True}), ("WEBP", "RGB", {}),
        ("TIFF", "RGBA", {"compression": "tiff_lzw"}), ("TIFF", "CMYK", {"compression": "tiff_deflate"}),
        ("BMP", "1", {}), ("PPM", "1", {}),
    ],
)  # fmt: skip
def test_the_largest_pictures_take_bounded_memory(
    tmp_path: Path, form: str, mode: str, options: dict[str, object]
) -> None:
    path = tmp_path / "x"
    Image.new(mode, (5000, 5000) if form == "WEBP" else (7000, 7000)).save(path, form, **options)

    def decoded(side: int) -> str:
        decode_chunk(Chunk("a.json", (Picture("x", str(path)),), side, upright=True))
        return DECODED

    assert forked((72,), decoded, LARGEST).memory < LARGEST


def test_what_is_whole_is_decoded() -> None:
    """The negative control: the same files, with nothing damaged."""
    for form, files in SOURCES.items():
        for data in files:
            chunk = decode_chunk(Chunk("a.json", (Picture("x", data=data),), 72))
            assert chunk.height[0] > 0, form
