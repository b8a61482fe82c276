"""One image: pixels as Pillow decodes them, and refusals."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from decathlon.data.decoding import decode
from decathlon.errors import DataError
from tests.helpers.challenge_sources import png

NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encode(mode: str, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "PPM", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_are_those_that_pillow_decodes(form: str, mode: str) -> None:
    data = encode(mode, form)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(decode(data, "a", 72)), expected)


def test_gray_becomes_three_equal_channels() -> None:
    red, green, blue = np.asarray(decode(encode("L", "PNG"), "a", 72)).transpose(2, 0, 1)
    assert (red == green).all() and (green == blue).all()


@pytest.mark.parametrize(
    ("mode", "form"), [("CMYK", "JPEG"), ("P", "PNG"), ("1", "PNG"), ("LA", "PNG"), ("RGBA", "PNG")]
)
def test_every_8_bit_kind_becomes_rgb(mode: str, form: str) -> None:
    image = decode(encode(mode, form), "a", 72)
    assert (image.mode, image.size) == ("RGB", (30, 20))


def clear(kind: str) -> bytes:
    """A PNG of 30 x 20: the left third clear, hiding black, the rest a middle colour; as written by other tools."""
    if kind in ("RGBA", "LA", "P"):
        pixels = np.zeros((20, 30, 4), np.uint8)
        pixels[:, 10:] = (90, 90, 90, 255)
        image = Image.fromarray(pixels)
        out = io.BytesIO()
        (image.quantize() if kind == "P" else image.convert(kind)).save(out, "PNG")
        return out.getvalue()
    depth, colour, samples, clear, seen = {
        "1": (1, 0, 1, 0, 1), "L;2": (2, 0, 1, 2, 1), "L;4": (4, 0, 1, 9, 5), "L": (8, 0, 1, 7, 90),
        "RGB": (8, 2, 3, 7, 90), "RGB;16": (16, 2, 3, 0x1200, 0x5A00),
    }[kind]  # fmt: skip
    bits = "".join(f"{clear if x < 10 else seen:0{depth}b}" * samples for x in range(30))
    row = b"\0" + int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
    header = struct.pack(">IIBBBBB", 30, 20, depth, colour, 0, 0, 0)
    parts = piece(b"IHDR", header), piece(b"tRNS", struct.pack(">H", clear) * samples)
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, piece(b"IDAT", zlib.compress(row * 20)), piece(b"IEND", b"")])


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("RGBA", 90),
        ("LA", 90),
        ("P", 90),
        ("1", 255),
        ("L;2", 85),
        ("L;4", 85),
        ("L", 90),
        ("RGB", 90),
        ("RGB;16", 90),
    ],
)
def test_what_is_transparent_is_laid_on_white(kind: str, seen: int) -> None:
    pixels = np.asarray(decode(clear(kind), "a", 72))
    assert (pixels[:, :10] == 255).all() and (pixels[:, 10:] == seen).all()


def test_half_transparent_pixels_are_mixed_and_opaque_ones_stay_as_they_are() -> None:
    pixels = np.dstack([NOISE, np.full((20, 30), 255, np.uint8)])
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    np.testing.assert_array_equal(np.asarray(decode(out.getvalue(), "a", 72)), NOISE)
    pixels[..., 3] = 128
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    mixed = NOISE * (128 / 255) + 255 * (127 / 255)
    np.testing.assert_allclose(np.asarray(decode(out.getvalue(), "a", 72)), mixed, atol=1)


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP", "TIFF"])
def test_formats_without_loss_give_the_same_pixels(form: str) -> None:
    options: dict[str, object] = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(np.asarray(decode(encode("RGB", form, **options), "a", 72)), NOISE)


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate"])
def test_tiffs_are_decoded_in_the_compressions_people_have(compression: str) -> None:
    data = encode("RGB", "TIFF", compression=compression)
    np.testing.assert_array_equal(np.asarray(decode(data, "a", 72)), NOISE)


@pytest.mark.parametrize(("mode", "compression"), [("1", "group4"), ("RGB", "zstd"), ("RGB", "lzma")])
def test_tiffs_in_rare_compressions_are_refused_by_name(mode: str, compression: str) -> None:
    with pytest.raises(DataError, match=f"x.tif is a TIFF of the compression {compression}. Convert it"):
        decode(encode(mode, "TIFF", compression=compression), "x.tif", 72)


@pytest.mark.parametrize("form", ["WEBP", "TIFF"])
def test_several_pictures_in_one_file_are_refused(form: str) -> None:
    second = Image.fromarray(NOISE[::-1])
    data = encode("RGB", form, save_all=True, append_images=[second])
    with pytest.raises(DataError, match="x holds several pictures. Save the one to use as a file of its own"):
        decode(data, "x", 72)


def test_a_tile_larger_than_any_image_is_refused_before_it_is_decoded() -> None:
    packed = zlib.compress(bytes(1 << 20))
    tags = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1, 322: 30_000, 323: 30_000, 324: 8, 325: len(packed)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHI", b"II", 42, 8 + len(packed))
    with pytest.raises(DataError, match="has more than 50,000,000 pixels"):
        decode(head + packed + struct.pack("<H", len(tags)) + table + bytes(4), "a", 72)


def test_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encode("RGB", "JPEG", exif=exif), "a", 72).size == (30, 20)


@pytest.mark.parametrize(
    ("size", "side", "expected"), [((30, 20), 20, (30, 20)), ((30, 20), 10, (15, 10)), ((20, 61), 10, (10, 30))]
)
def test_a_longer_shorter_side_is_shrunk(size: tuple[int, int], side: int, expected: tuple[int, int]) -> None:
    data = png(np.zeros((size[1], size[0], 3)))
    assert decode(data, "a", side).size == expected


def test_shrinking_averages_over_what_it_drops() -> None:
    stripes = np.zeros((64, 64, 3))
    stripes[:, ::2] = 255
    small = np.asarray(decode(png(stripes), "a", 8)).astype(int)
    assert abs(small - 127).max() < 8


@pytest.mark.parametrize("part", [0.1, 0.6, 0.97])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "PPM", "BMP", "WEBP", "TIFF"])
def test_a_cut_image_is_refused(form: str, part: float) -> None:
    data = encode("RGB", form)
    with pytest.raises(DataError, match=r"data/x\.jpg is (a broken image|not a JPEG, PNG, PPM, BMP, WEBP or TIFF)"):
        decode(data[: int(len(data) * part)], "data/x.jpg", 72)


@pytest.mark.parametrize("form", ["GIF", "EPS", "TGA", "ICO"])
def test_other_formats_are_refused_whatever_the_name(form: str) -> None:
    with pytest.raises(
        DataError, match=r"data/x\.jpg is not a JPEG, PNG, PPM, BMP, WEBP or TIFF image. Convert it\."
    ):
        decode(encode("RGB", form), "data/x.jpg", 72)


def test_16_bits_are_refused_not_clipped() -> None:
    out = io.BytesIO()
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(out, "PNG")
    with pytest.raises(DataError, match="the pixel mode I;16. Convert it to 8 bits"):
        decode(out.getvalue(), "a", 72)


@pytest.mark.parametrize("size", [(10_000, 5_001), (12_000, 12_000), (40_000, 40_000), (70_000, 1)])
def test_an_image_too_large_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="has more than 50,000,000 pixels or a side above 65,535"):
        decode(announced(*size), "a", 72)


@pytest.mark.parametrize("form", ["BMP", "WEBP", "TIFF"])
def test_a_header_that_promises_too_much_is_enough_to_refuse(form: str) -> None:
    lossless: dict[str, object] = {"lossless": True} if form == "WEBP" else {}
    data, most = bytearray(encode("RGB", form, **lossless)), "25,000,000" if form == "WEBP" else "50,000,000"
    if form == "BMP":
        data[18:26] = struct.pack("<II", 10_000, 5_001)
    elif form == "TIFF":
        for tag, value in ((256, 10_000), (257, 5_001)):
            place = data.index(struct.pack("<HHI", tag, 4, 1))
            data[place + 8 : place + 12] = struct.pack("<I", value)
    else:
        data[21:25] = struct.pack("<I", 9_999 | 2_500 << 14)
    with pytest.raises(DataError, match=f"has more than {most} pixels"):
        decode(bytes(data), "a", 72)


def announced(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its data does not hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", header) + piece(b"IDAT", zlib.compress(b""))


def piece(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata; `decode_chunk` does the same
def test_mutated_images_decode_or_are_refused_and_nothing_else() -> None:
    chance = random.Random(0)
    sources = [encode("RGB", "JPEG"), encode("CMYK", "JPEG"), encode("P", "PNG"), encode("RGB", "PPM")]
    refused = 0
    for _ in range(1000):
        data = bytearray(chance.choice(sources))
        for _ in range(chance.choice((1, 3, 20))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            decode(bytes(data), "a", 72)
        except DataError:
            refused += 1
    assert 100 < refused < 1000


def test_images_too_thin_are_refused_before_they_grow() -> None:
    thin = np.zeros((1, 33, 3), np.uint8)
    for enlarge in (False, True):
        with pytest.raises(DataError, match="x has 33 x 1 pixels, above the aspect ratio 32 to 1. Crop it"):
            decode(thin, "x", 72, enlarge)
    assert decode(thin[:, :32], "x", 72, True).size == (2304, 72)


@pytest.mark.parametrize(
    ("shape", "side", "size"), [((1, 32), 1300, "41,600 x 1,300"), ((32, 1), 2100, "2,100 x 67,200")]
)
def test_images_are_refused_before_they_grow_too_large(shape: tuple[int, int], side: int, size: str) -> None:
    """Such a packed file would be refused after all the work."""
    thin = np.zeros((*shape, 3), np.uint8)
    with pytest.raises(DataError, match=f"^x would be enlarged to {size} pixels, above 50,000,000 .* Crop it, or"):
        decode(thin, "x", side, True)
    assert decode(thin, "x", side).size == shape[::-1]


def test_sides_are_rounded_to_the_nearest() -> None:
    assert decode(np.zeros((100, 127, 3), np.uint8), "x", 72).size == (91, 72)  # 91.44
    assert decode(np.zeros((100, 133, 3), np.uint8), "x", 72).size == (96, 72)  # 95.76
