import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.data import images
from slimgen.data.images import Rejected, read_image
from slimgen.errors import DataError

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and carries almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def test_an_rgb_png_is_read_exactly(tmp_path: Path) -> None:
    assert np.array_equal(read_image(saved(tmp_path / "a.png", Image.fromarray(COLOURS))), COLOURS)


def test_the_content_decides_the_format_not_the_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(COLOURS), format="PNG")
    assert np.array_equal(read_image(path), COLOURS)


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="L").convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    read = read_image(saved(tmp_path / "a.png", image))
    assert read.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 255, 0]]]


def test_a_palette_with_a_transparent_colour_is_composited_on_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="L").convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0])
    read = read_image(saved(tmp_path / "a.png", image, transparency=0))
    assert read.tolist() == [[[255, 255, 255], [0, 255, 0]]]


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = COLOURS[..., 0]
    assert np.array_equal(read_image(saved(tmp_path / "a.png", Image.fromarray(grey))), np.stack([grey] * 3, 2))


def test_sixteen_bit_grey_is_divided_by_257(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    read = read_image(saved(tmp_path / "a.png", Image.fromarray(values)))
    assert read[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    assert np.array_equal(read[..., 0], read[..., 2])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    ink = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    read = read_image(saved(tmp_path / "a.tif", ink))
    assert read.shape == (4, 4, 3)
    assert read[0, 0].tolist() == [255, 0, 0]


def test_transparent_pixels_are_composited_on_white(tmp_path: Path) -> None:
    pixels = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    read = read_image(saved(tmp_path / "a.png", Image.fromarray(pixels)))
    assert read.tolist() == [[[200, 0, 0], [255, 255, 255], [204, 204, 204]]]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_the_orientation_of_the_camera_is_honoured(tmp_path: Path, orientation: int, turn) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(COLOURS), exif=exif)
    assert np.array_equal(read_image(path), turn(COLOURS))


def test_a_missing_file_is_rejected_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"gone\.png: does not exist"):
        read_image(tmp_path / "gone.png")


def test_a_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="not a regular file"):
        read_image(tmp_path)


def test_an_empty_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(Rejected, match="is empty"):
        read_image(tmp_path / "a.png")


def test_text_named_png_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("this is not a picture\n")
    with pytest.raises(Rejected, match=r"notes\.png: is not an image") as caught:
        read_image(tmp_path / "notes.png")
    assert isinstance(caught.value, DataError)


def test_postscript_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(Rejected, match="not an image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_truncated_image_is_rejected_with_its_name(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, kind)
    (tmp_path / "half.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(Rejected, match=r"half\.jpg: is (damaged|not an image)"):
        read_image(tmp_path / "half.jpg")


@pytest.mark.parametrize(("width", "height"), [(30000, 30000), (10000, 10000), (8001, 8000)])
def test_a_huge_image_of_few_bytes_is_rejected_before_it_is_decoded(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(width, height))
    assert path.stat().st_size < 200
    with pytest.raises(Rejected, match="pixels"):
        read_image(path)


def test_as_many_pixels_as_the_limit_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(COLOURS))
    monkeypatch.setattr(images, "MOST_PIXELS", 240)
    assert read_image(path).shape == (12, 20, 3)
    monkeypatch.setattr(images, "MOST_PIXELS", 239)
    with pytest.raises(Rejected, match="is 12 high and 20 wide, more than 239 pixels"):
        read_image(path)


def test_floating_point_values_are_rejected(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(np.zeros((4, 4), np.float32)))
    with pytest.raises(Rejected, match="no fixed range"):
        read_image(path)


def test_whole_numbers_beyond_16_bits_are_rejected(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(np.full((4, 4), 70000, np.int32)))
    with pytest.raises(Rejected, match="beyond 16 bits"):
        read_image(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_damaged_bytes_give_an_image_or_a_reason_and_nothing_else(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(COLOURS).save(buffer, kind)
    rng = np.random.default_rng(1)
    outcomes = set()
    monkeypatch.setattr(images, "MOST_PIXELS", 100_000)
    for _ in range(120):
        data = bytearray(buffer.getvalue())
        for place in rng.integers(0, len(data), rng.integers(1, 12)):
            data[place] = rng.integers(0, 256)
        path = tmp_path / "damaged"
        path.write_bytes(bytes(data[: rng.integers(1, len(data) + 1)]))
        try:
            outcomes.add(read_image(path).dtype.name)
        except Rejected as fault:
            outcomes.add("rejected" if fault.reason else "without a reason")
    assert "rejected" in outcomes
    assert outcomes <= {"rejected", "uint8"}
