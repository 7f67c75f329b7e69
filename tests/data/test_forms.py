"""What pictures become: channels and ranges told by the data, each mode by its rule, many bands."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from slimgen.data.conversion import Setting
from slimgen.data.forms import forms_of
from slimgen.data.images import Form, Rejected, contents, decode, quiet, values_of
from slimgen.data.label_maps import Classes
from slimgen.data.prepare_images import prepare_images
from slimgen.data.prepare_translation import prepare_labels, prepare_pairs, prepare_unpaired
from slimgen.data.prepared import Prepared
from slimgen.data.shapes import resize
from slimgen.errors import DataError
from slimgen.size import Size

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
BANDS = RNG.integers(0, 256, (6, 8, 5), dtype=np.uint8)


def file(folder: Path, name: str, image: object, **options: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if isinstance(image, Image.Image):
        image.save(path, **options)
    elif path.suffix == ".npy":
        np.save(path, image)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, image, **options)
    else:
        Image.fromarray(image).save(path, **options)
    return path


def form(*paths: Path, given: tuple[float, float] | None = None) -> tuple[Form, tuple[str, ...]]:
    found = forms_of({"input": paths}, given)
    return found.sides["input"], found.notes


def decoded(path: Path, form: Form) -> np.ndarray:
    with quiet():
        return decode(path, contents(path), form)


WHITE = 255


@pytest.mark.parametrize(
    ("mode", "channels", "rule"),
    [
        ("1", 1, lambda grey, rgb: np.where(grey > 127, 255, 0)),
        ("L", 1, lambda grey, rgb: grey),
        ("LA", 1, lambda grey, rgb: np.full_like(grey, WHITE)),  # wholly transparent, on white
        ("RGB", 3, lambda grey, rgb: rgb),
        ("RGBA", 3, lambda grey, rgb: np.full_like(rgb, WHITE)),
    ],
)
def test_each_mode_has_its_channels_and_alpha_is_composited_on_white(
    tmp_path: Path, mode: str, channels: int, rule: Callable
) -> None:
    image = Image.fromarray(COLOURS if mode.startswith("RGB") else COLOURS[..., 0])
    if mode.endswith("A"):
        image = image.convert(mode)
        image.putalpha(0)
    elif mode == "1":
        image = image.convert("1", dither=Image.Dither.NONE)
    path = file(tmp_path, "a.png", image)
    found, notes = form(path)
    assert (found, notes) == (Form(channels), ())
    wanted = rule(COLOURS[..., :1], COLOURS)
    assert np.array_equal(decoded(path, found), wanted.reshape(6, 8, channels))


@pytest.mark.parametrize("mode", ["P", "CMYK"])
def test_palettes_and_inks_are_colours(tmp_path: Path, mode: str) -> None:
    path = file(tmp_path, "a.tif", Image.fromarray(COLOURS).convert(mode))
    assert form(path)[0] == Form(3)


def test_grey_among_rgb_becomes_rgb_with_a_note_and_grey_alone_stays_grey(tmp_path: Path) -> None:
    grey = [file(tmp_path, f"{n}.png", COLOURS[..., n]) for n in range(3)]
    colour = file(tmp_path, "z.png", COLOURS)
    found, (note,) = form(*grey, colour)
    assert found == Form(3)
    assert note.startswith("input: 3 of 4 pictures are grey; they become RGB with three equal channels")
    assert decoded(grey[0], found)[..., 2].tolist() == COLOURS[..., 0].tolist()
    assert form(*grey)[0] == Form(1)
    both = forms_of({"input": grey, "target": [colour]}, None, joint=True)
    assert {which: one.channels for which, one in both.sides.items()} == {"input": 3, "target": 3}
    apart = forms_of({"input": grey, "target": [colour]}, None)
    assert {which: one.channels for which, one in apart.sides.items()} == {"input": 1, "target": 3}


def test_the_channels_are_those_of_most_and_others_are_rejected(tmp_path: Path) -> None:
    bands = [file(tmp_path, f"{n}.npy", BANDS) for n in range(2)]
    colour = file(tmp_path, "z.png", COLOURS)
    found, _ = form(colour, *bands)
    assert found == Form(5)
    with pytest.raises(Rejected, match="has 3 channels, but the others of its side have 5"):
        decoded(colour, found)


@pytest.mark.parametrize(
    ("name", "values", "options"),
    [
        ("a.npy", BANDS, {}),
        ("a.npy", np.asfortranarray(BANDS), {}),
        ("a.npy", BANDS[..., :2], {}),
        ("a.npy", BANDS[..., 0], {}),
        ("a.npy", BANDS.astype(">u2"), {}),
        ("a.tif", BANDS, {"photometric": "minisblack", "planarconfig": "contig"}),
        ("a.tif", BANDS.transpose(2, 0, 1).copy(), {"photometric": "minisblack", "planarconfig": "separate"}),
        (
            "a.tif",
            BANDS[..., :4].astype(np.uint16),
            {"photometric": "minisblack", "planarconfig": "contig", "compression": "zlib"},
        ),
        ("a.tif", BANDS[..., :4].copy(), {"photometric": "rgb", "extrasamples": ["unspecified"]}),
        ("a.tif", BANDS[..., :3].astype(np.uint16), {"photometric": "rgb"}),
        ("a.tif", BANDS.astype(np.float32), {"photometric": "minisblack", "planarconfig": "contig"}),
    ],
)
def test_bands_are_read_as_they_are(tmp_path: Path, name: str, values: np.ndarray, options: dict) -> None:
    path = file(tmp_path, name, values, **options)
    with quiet():
        read = values_of(path, contents(path))
    wanted = values.transpose(1, 2, 0) if options.get("planarconfig") == "separate" else values
    assert np.array_equal(read, wanted.reshape(6, 8, -1))
    found, _ = form(path, given=(0, 255) if values.dtype != np.uint8 else None)
    assert found.channels == read.shape[2]
    assert np.array_equal(decoded(path, found), read.astype(np.uint8))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.zeros((2, 3, 4, 5), np.uint8), "is an array of shape"),
        (np.zeros(7, np.uint8), "is an array of shape"),
        (np.zeros((0, 3), np.uint8), "is an array of shape"),
        (np.zeros((3, 4, 400), np.uint8), "up to 64 channels"),
        (np.zeros((4, 4), np.complex64), "has values of the type complex64"),
        (np.array([["a"]]), "has values of the type"),
        (np.full((4, 4), np.nan, np.float32), "no fixed range"),
    ],
)
def test_arrays_that_are_no_pictures_are_rejected(tmp_path: Path, values: np.ndarray, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        decoded(file(tmp_path, "a.npy", values), Form(1))


def test_a_truncated_pickled_or_infinite_array_is_rejected(tmp_path: Path) -> None:
    path = file(tmp_path, "a.npy", BANDS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Rejected, match="fewer values than its header says"):
        decoded(path, Form(5))
    np.save(tmp_path / "b.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(Rejected, match="has values of the type object"):
        decoded(tmp_path / "b.npy", Form(1))
    with pytest.raises(Rejected, match="not finite"):
        decoded(file(tmp_path, "c.npy", np.full((2, 2), np.inf)), Form(1, 0, 1))


@pytest.mark.parametrize(("top", "bits"), [(255, 8), (1000, 10), (4095, 12), (2100, 12), (40000, 16)])
def test_sixteen_bits_are_scaled_to_the_largest_value_of_the_side_with_a_note(
    tmp_path: Path, top: int, bits: int
) -> None:
    ramp = np.linspace(0, top, 4096).round().astype(np.uint16).reshape(64, 64)
    paths = [file(tmp_path, "a.png", ramp // 2), file(tmp_path, "b.png", ramp)]
    found, (note,) = form(*paths)
    assert found == Form(1, 0, top)
    assert f"have values up to {top:,} ({bits} bits)" in note
    levels = decoded(paths[1], found)[..., 0]
    assert np.array_equal(levels, np.floor(ramp.astype(float) * 255 / top + 0.5))
    assert len(np.unique(levels)) == 256


def test_sixteen_bits_in_use_to_their_end_are_divided_by_257(tmp_path: Path) -> None:
    path = file(tmp_path, "a.png", np.array([[0, 128, 129, 65535]], np.uint16))
    found, notes = form(path)
    assert (found, notes) == (Form(1), ())
    assert decoded(path, found)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_a_range_sets_black_and_white_and_the_rest_is_clipped(tmp_path: Path) -> None:
    deep = file(tmp_path, "a.png", np.array([[0, 1000, 1500, 2000, 9000]], np.uint16))
    floats = file(tmp_path, "b.tif", np.array([[-9.0, 1000, 1500, 2000, 1e9]], np.float32))
    for path in (deep, floats):
        found, notes = form(path, given=(1000, 2000))
        assert (found, notes) == (Form(1, 1000, 2000), ())
        assert decoded(path, found)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    with pytest.raises(DataError, match=r"data\.range needs pictures of more than 8 bits"):
        form(file(tmp_path, "c.png", COLOURS), given=(0, 100))


def test_colours_that_pillow_cuts_to_8_bits_are_noted(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(12)) for _ in range(2))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(data + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    assert "1 RGB PNGs of 16 bits are read with 8" in form(tmp_path / "a.png")[1][0]


def test_only_the_first_of_several_pages_or_frames_is_read_with_a_note(tmp_path: Path) -> None:
    pages = file(tmp_path, "a.tif", BANDS.transpose(2, 0, 1).copy(), photometric="minisblack")
    later = [Image.fromarray(255 - COLOURS)]
    frames = file(tmp_path, "b.png", Image.fromarray(COLOURS), save_all=True, append_images=later)
    for path, first in ((pages, BANDS[..., :1]), (frames, COLOURS)):
        found, notes = form(path)
        assert notes == ("input: 1 of 1 files have several pages or frames; only the first is read",)
        assert np.array_equal(decoded(path, found), first)


def test_a_band_is_resized_as_it_would_be_alone(tmp_path: Path) -> None:
    made = resize(BANDS, Size(5, 3))
    for band in range(5):
        alone = Image.fromarray(np.ascontiguousarray(BANDS[..., band])).resize((3, 5), Image.Resampling.BICUBIC)
        assert np.array_equal(made[..., band], np.asarray(alone))
    assert np.array_equal(resize(COLOURS, Size(5, 3)), resize(np.dstack([COLOURS, COLOURS]), Size(5, 3))[..., :3])


def test_grey_and_many_bands_are_prepared_and_opened_again(tmp_path: Path) -> None:
    for split, count in (("train", 5), ("test", 2)):
        for number in range(count):
            file(tmp_path / f"in/{split}A", f"{number}.png", RNG.integers(0, 256, (8, 8), dtype=np.uint8))
            file(tmp_path / f"in/{split}B", f"{number}.npy", RNG.integers(0, 256, (8, 8, 4), dtype=np.uint8))
    manifest = prepare_pairs(tmp_path / "in", tmp_path / "out", Setting(8, 8, validation=1))
    train = Prepared.open(tmp_path / "out", verify=True).split("train")
    assert (train.input.shape, train.target.shape) == ((4, 8, 8, 1), (4, 8, 8, 4))
    assert np.allclose(manifest.mean["target"], train.target.mean(axis=(0, 1, 2)) / 127.5 - 1)
    assert np.allclose(manifest.std["input"], train.input.std(axis=(0, 1, 2)) / 127.5)
    with pytest.raises(DataError, match=r"at least half of the images|must keep at least one"):
        prepare_unpaired(tmp_path / "in", tmp_path / "sets", Setting(8, 8, validation=1))


GOLDEN = {
    "pairs": "0a1c1bc5a10657f7c3442a916b51b838ff2fb7479263f5c191f57731f611154d",
    "sets": "7db109af6a14853a3675eed8ffbcc31cf407f34ef6f1e8bb67dc7026cae5e65e",
    "labels": "c15f3974e06707e538b4244572ddd1ead3118f5c2abfd3216590bf9c838f0646",
    "images": "dfeb45966ff973c4b00e986efe932d26362bedf5fe2bbd159fc59e32a4059ba3",
}
"""SHA-256 of names and bytes of what the first version of the prepared layout was written as, of the same pictures."""


def test_rgb_pictures_are_prepared_to_the_same_bytes_as_ever(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 7), ("test", 2)):
        for number in range(count):
            values, name = rng.integers(0, 256, (24, 48, 3), dtype=np.uint8), f"{number}.png"
            left, right = values[:, :24], values[:, 24:]
            file(tmp_path / "pairs" / split, name, values)
            file(tmp_path / "images" / split, name, values)
            file(tmp_path / "sets" / f"{split}A", name, left)
            file(tmp_path / "sets" / f"{split}B", name, right)
            file(tmp_path / "labels" / f"{split}_label", name, left[..., 0] % 3)
            file(tmp_path / "labels" / f"{split}_img", name, right)
    setting = Setting(16, 20, validation=2, seed=1)
    prepare_pairs(tmp_path / "pairs", tmp_path / "out/pairs", setting)
    prepare_unpaired(tmp_path / "sets", tmp_path / "out/sets", setting)
    prepare_labels(tmp_path / "labels", tmp_path / "out/labels", setting, classes=Classes(3), instances=False)
    prepare_images(tmp_path / "images", tmp_path / "out/images", Setting(16, 16, validation=2, seed=1))
    for name, digest in GOLDEN.items():
        found = hashlib.sha256()
        for path in sorted((tmp_path / "out" / name).iterdir()):
            found.update(path.name.encode() + path.read_bytes())
        assert found.hexdigest() == digest, name
