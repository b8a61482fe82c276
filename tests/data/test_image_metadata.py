"""Pictures whose metadata are wrong: the same pixels as with sound ones, turned by whatever tag can be read."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from decathlon.data.decoding import decode
from decathlon.data.image_metadata import without_metadata

NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
TURN = (0x112, 3, 1, struct.pack(">HH", 6, 0))
RESOLUTION = (0x11A, 2, 3, b"72\0\0")  # text, where two whole numbers belong


def tiff(*entries: tuple[int, int, int, bytes]) -> bytes:
    body = b"".join(struct.pack(">HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"MM\0*" + struct.pack(">IH", 8, len(entries)) + body + struct.pack(">I", 0)


def jpeg(exif: bytes = b"", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(NOISE).save(out, "JPEG", exif=b"Exif\0\0" + exif if exif else b"", **options)
    return out.getvalue()


def png(text: PngInfo | None = None) -> bytes:
    out = io.BytesIO()
    Image.fromarray(NOISE).save(out, "PNG", pnginfo=text)
    return out.getvalue()


def inside(data: bytes, kind: bytes, content: bytes, *, last: bool = False, sound: bool = True) -> bytes:
    """Return a PNG with one more chunk, behind the header or before the end."""
    place = len(data) - 12 if last else 33
    checksum = zlib.crc32(kind + content) ^ (not sound)
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    return data[:place] + chunk + data[place:]


def segment(data: bytes, marker: int, content: bytes) -> bytes:
    """Return a JPEG with one more segment, behind JFIF's."""
    place = 4 + int.from_bytes(data[4:6])
    return data[:place] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + data[place:]


def large() -> PngInfo:
    text = PngInfo()
    text.add_text("parameters", "x" * (2 << 20), zip=True)
    return text


PROFILE = b"name\0\0" + zlib.compress(bytes(2 << 20))  # of 2 MB, packed
SOUND_JPEG, SOUND_PNG = jpeg(), png()
FLAT = {
    "EXIF is no TIFF": (SOUND_JPEG, jpeg(b"nothing of the kind")),
    "EXIF is cut": (SOUND_JPEG, jpeg(tiff(TURN)[:9])),
    "a profile without its number": (SOUND_JPEG, segment(SOUND_JPEG, 0xE2, b"ICC_PROFILE\0")),
    "a broken index of pictures": (SOUND_JPEG, segment(SOUND_JPEG, 0xE2, b"MPF\0MM\0*\0\0\xff\xff")),
    "large text": (SOUND_PNG, png(large())),
    "large text behind the pixels": (SOUND_PNG, inside(SOUND_PNG, b"zTXt", b"a\0\0" + PROFILE[6:], last=True)),
    "a large profile": (SOUND_PNG, inside(SOUND_PNG, b"iCCP", PROFILE)),
    "a profile packed in an unknown way": (SOUND_PNG, inside(SOUND_PNG, b"iCCP", b"name\0\7abc")),
    "a short resolution": (SOUND_PNG, inside(SOUND_PNG, b"pHYs", b"\0\0")),
    "eXIf is no TIFF": (SOUND_PNG, inside(SOUND_PNG, b"eXIf", b"nothing of the kind")),
    "text with a wrong checksum": (SOUND_PNG, inside(SOUND_PNG, b"tEXt", b"a\0b", sound=False)),
    "eXIf with a wrong checksum": (SOUND_PNG, inside(SOUND_PNG, b"eXIf", tiff(TURN), sound=False)),
    "a cut animation": (SOUND_PNG, inside(SOUND_PNG, b"acTL", b"\0")),
}


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata; `decode_chunk` does the same
@pytest.mark.parametrize("case", FLAT)
def test_faults_in_metadata_do_not_cost_the_picture(case: str) -> None:
    sound, faulty = FLAT[case]
    expected = np.asarray(decode(sound, "a", 72, upright=True))
    np.testing.assert_array_equal(np.asarray(decode(faulty, "a", 72, upright=True)), expected)


TURNED = {
    "sound": jpeg(tiff(TURN)),
    "a resolution that is text": jpeg(tiff(TURN, RESOLUTION)),
    "a resolution of undefined type": jpeg(tiff(TURN, (0x11A, 7, 4, b"abcd"))),
    "beside a wrong profile": segment(jpeg(tiff(TURN)), 0xE2, b"ICC_PROFILE\0"),
}


@pytest.mark.parametrize("case", TURNED)
def test_photographs_are_turned_by_the_tag_whatever_stands_beside_it(case: str) -> None:
    expected = np.rot90(np.asarray(decode(SOUND_JPEG, "a", 72)), -1)
    np.testing.assert_array_equal(np.asarray(decode(TURNED[case], "a", 72, upright=True)), expected)


@pytest.mark.parametrize("text", [None, large()])
def test_a_png_is_turned_too(text: PngInfo | None) -> None:
    data = inside(png(text), b"eXIf", tiff(TURN, RESOLUTION))
    np.testing.assert_array_equal(np.asarray(decode(data, "a", 72, upright=True)), np.rot90(NOISE, -1))


@pytest.mark.parametrize("value", [(2, 2, b"6\0\0\0"), (3, 1, b"\0\x63\0\0"), (5, 1, b"\0\0\0\x08")])
def test_an_orientation_that_means_nothing_turns_nothing(value: tuple[int, int, bytes]) -> None:
    assert decode(jpeg(tiff((0x112, *value))), "a", 72, upright=True).size == (30, 20)


def test_what_is_left_out_changes_no_pixel() -> None:
    for data in (
        SOUND_PNG,
        inside(SOUND_PNG, b"tEXt", b"a\0b"),
        SOUND_JPEG,
        jpeg(tiff(TURN), comment="a", icc_profile=bytes(300)),
    ):
        bare = without_metadata(data)
        with Image.open(io.BytesIO(bare)) as one, Image.open(io.BytesIO(data)) as two:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
            assert one.getexif() == two.getexif() and "icc_profile" not in one.info
    assert without_metadata(b"P6 1 1 255\nabc") == b"P6 1 1 255\nabc"


def test_damage_of_any_kind_is_cut_without_an_error() -> None:
    chance = random.Random(0)
    for _ in range(2000):
        data = bytearray(chance.choice((SOUND_PNG, SOUND_JPEG, jpeg(tiff(TURN), comment="a"))))
        data[chance.randrange(len(data))] = chance.choice((0, 0xFF, chance.randrange(256)))
        cut = bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])
        assert len(without_metadata(cut)) <= len(cut)
