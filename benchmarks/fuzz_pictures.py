"""Fuzzing with damaged data sets and archives: `slimgen data check` must exit with 0, or with one line and 2.

    python -m benchmarks.fuzz_pictures --cases 1000

Each case draws a folder in a task's layout, or an archive. It holds whole pictures and damaged ones: truncated, of size
zero or huge, in odd modes, rotated, animated, or not pictures at all; names with escape codes; links that lead nowhere,
elsewhere or in circles; archive members with paths outside the archive. `slimgen data check` reads it, with or without
a recipe, in this process, whose memory is watched. A case is a function of its number alone.
"""

import argparse
import io
import os
import resource
import struct
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

MOST_BYTES = 2 << 30
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F")
FORMATS = {"PNG": "png", "JPEG": "jpg", "TIFF": "tif", "BMP": "bmp", "PPM": "ppm", "WEBP": "webp", "AVIF": "avif"}
LAYOUTS = {
    "paired": ("train/{}", "test/{}", "trainA/{}", "trainB/{}", "testA/{}", "testB/{}", "train/A/{}", "train/B/{}"),
    "unpaired": ("trainA/{}", "trainB/{}", "testA/{}", "testB/{}"),
    "labels": ("train_label/{}", "train_img/{}", "test_label/{}", "test_img/{}", "train_inst/{}"),
    "unconditional": ("train/{}", "test/{}", "{}", "train/cat/{}"),
}
NAMES = (
    "{}",
    "\x1b[31m{}",
    "{}\nerror: none",
    "[red]{}[/red]",
    "..{}",
    "caf\u00e9{}",
    "cafe\u0301{}",
    "{}" + 60 * "x",
    "{}.",
    " {}",
)
RECIPE = """
task: {task}
method: {method}
size: 16
data: {{validation: 1, fit: squash{data}}}
losses: {{gan: hinge}}
teach: {{generator: {generator}, discriminator: {{family: patchgan}}, updates: 1}}
finetune: {{updates: 1}}
evaluate: {{metrics: {metrics}}}
"""


def recipe_of(task: str) -> str:
    """Return a task's recipe as text."""
    noise, labels = task == "unconditional", task == "labels"
    generator = "{family: sngan, channels: 4, size: 16}" if noise else f"{{family: resnet{', inputs: 3' * labels}}}"
    data = ", classes: 3" if labels else ", test: 1" if noise else ""
    method, metrics = ("alphagan", "[kid]") if noise else ("gan_compression", "[psnr]")
    return RECIPE.format(task=task, method=method, data=data, generator=generator, metrics=metrics)


def picture(rng: np.random.Generator, side: int = 24) -> tuple[bytes, str]:
    """Draw a whole picture of some mode, format and size; return it with its file extension."""
    width = int(rng.choice([side, side, side, 2 * side, 17, 1]))
    values = rng.integers(0, 256, (side, width, 3), dtype=np.uint8)
    if rng.random() < 0.15:
        file = io.BytesIO()
        np.save(file, values[..., : int(rng.integers(0, 4))].astype(rng.choice(["u1", "u2", "f4", "i8", "c8", "?"])))
        return file.getvalue(), "npy"
    image = Image.fromarray(values)
    mode = str(rng.choice(MODES)) if rng.random() < 0.5 else "RGB"
    if mode == "I;16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 16)
    elif mode != "RGB":
        image = Image.frombytes("LAB", image.size, values.tobytes()) if mode == "LAB" else _as(image, mode)
    kind, options = str(rng.choice(list(FORMATS))), {}
    if rng.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(0, 12))
        options["exif"] = exif
    if rng.random() < 0.1:
        kind, options = "PNG", {"save_all": True, "append_images": [image.copy()]}
    file = io.BytesIO()
    try:
        image.save(file, kind, **options)
    except (OSError, ValueError, KeyError):  # a mode that the format does not have
        image.convert("RGB").save(file, "PNG")
        kind = "PNG"
    return file.getvalue(), FORMATS[kind]


def _as(image: Image.Image, mode: str) -> Image.Image:
    through = {"PA": "P", "LA": "L"}.get(mode, mode)
    return image.convert(through) if through == mode else image.convert(through).convert(mode)


def claims(rng: np.random.Generator) -> tuple[bytes, str]:
    """Draw a file whose header claims a huge picture, with almost no data; return it with its file extension."""
    width, height = (int(rng.choice([1, 9_000, 70_000, 2**31 - 1])) for _ in range(2))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    which = int(rng.integers(4))
    if which == 0:
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))), "png"
    if which == 1:
        file = io.BytesIO()
        about = {"descr": "<u2", "fortran_order": False, "shape": (height, width, int(rng.integers(0, 99)))}
        np.lib.format.write_array_header_2_0(file, about)
        return file.getvalue() + bytes(64), "npy"
    if which == 2:
        return f"P6 {width} {height} 255\n".encode() + bytes(64), "ppm"
    tags = [
        (256, width),
        (257, height),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, int(rng.integers(0, 300))),
        (278, height),
        (279, 64),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value & 0xFFFFFFFF) for tag, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(70), "tif"


def damaged(rng: np.random.Generator) -> tuple[bytes, str]:
    """Draw a file that is truncated, changed in places, empty, with another magic number, or not a picture."""
    data, ending = claims(rng) if rng.random() < 0.3 else picture(rng)
    how = int(rng.integers(6))
    if how == 0:
        return data[: int(rng.integers(0, len(data) + 1))], ending
    if how == 1:
        changed = bytearray(data)
        for place in rng.integers(0, len(data), int(rng.integers(1, 20))):
            changed[place] = int(rng.integers(256))
        return bytes(changed), ending
    if how == 2:
        return b"", ending
    if how == 3:
        return bytes(rng.integers(0, 256, 8, dtype=np.uint8)) + data[8:], ending
    if how == 4:
        return data, str(rng.choice([*FORMATS.values(), "npy", "gif", "txt", "jfif"]))
    return data, ending


def fill(rng: np.random.Generator, folder: Path, layout: tuple[str, ...]) -> None:
    """Fill a folder with whole and damaged pictures, under names of all kinds, and with links."""
    whole = picture(rng)
    bad = rng.random() * rng.choice([0, 0.2, 0.9])
    for pattern in layout:
        if "A/{}" in pattern and pattern.count("/") == 2 and rng.random() < 0.7:
            continue  # a folder that would make the layout another one
        for number in range(int(rng.integers(rng.integers(0, 3), 6))):
            data, ending = damaged(rng) if rng.random() < bad else whole if rng.random() < 0.8 else picture(rng)
            name = str(rng.choice(NAMES)).format(number) if rng.random() < 0.2 else str(number)
            path = folder / pattern.format(f"{name}.{ending}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if rng.random() < 0.05:
                link = path.with_name(f"link{number}.png" if rng.random() < 0.5 else f"folder{number}")
                link.unlink(missing_ok=True)
                os.symlink(str(rng.choice([".", "..", "/", "nowhere", path.name, "/proc"])), link)
            if rng.random() < 0.02:
                (path.parent / f"{number}.folder.png").mkdir(exist_ok=True)
            if rng.random() < 0.02:
                os.mkfifo(path.parent / f"pipe{time.monotonic_ns()}.png")


def pack(rng: np.random.Generator, folder: Path, path: Path) -> Path:
    """Pack a folder into an archive with some invalid members; the archive is sometimes damaged."""
    strange = [
        "../out.png",
        "/abs.png",
        "a/../../b.png",
        "C:\\c.png",
        "\x1b[2J.png",
        "same.png",
        "same.png",
        "n\0ul.png",
    ]
    extra = [str(rng.choice(strange)) for _ in range(int(rng.integers(0, 3)))] if rng.random() < 0.5 else []
    files = [one for one in sorted(folder.rglob("*")) if one.is_file() and not one.is_symlink()]
    if rng.random() < 0.5:
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for one in files:
                archive.writestr(one.relative_to(folder).as_posix(), one.read_bytes())
            for name in extra:
                archive.writestr(name, bytes(10))
            if rng.random() < 0.1:
                archive.writestr("zeros.png", bytes(30 << 20))
    else:
        with tarfile.open(path, str(rng.choice(["w", "w:gz", "w:xz"]))) as tape:
            for one in files:
                tape.add(one, one.relative_to(folder).as_posix())
            for name in extra:
                member = tarfile.TarInfo(name.replace("\0", ""))
                member.type = rng.choice([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
                member.linkname = "/etc/passwd"
                tape.addfile(member)
    data = bytearray(path.read_bytes())
    if rng.random() < 0.4:
        for place in rng.integers(0, len(data), int(rng.integers(1, 9))):
            data[place] = int(rng.integers(256))
        path.write_bytes(bytes(data[: int(rng.integers(1, len(data) + 1))] if rng.random() < 0.5 else data))
    return path


def case(number: int, place: Path) -> list[str]:
    """Write case `number` into a folder and return the words of the command that checks it."""
    rng = np.random.default_rng([14, number])
    task = str(rng.choice(list(LAYOUTS)))
    folder = place / "set"
    folder.mkdir(parents=True)
    fill(rng, folder, LAYOUTS[task])
    recipe = place / "recipe.yaml"
    recipe.write_text(recipe_of(task))
    if task == "unconditional" and rng.random() < 0.6:
        folder = pack(rng, folder, place / "archive")
    if rng.random() < 0.6 or folder.is_file():
        return ["data", "check", str(folder), "--recipe", str(recipe)]
    size = ["--size", str(rng.choice(["16", "8x24", "1"]))] if rng.random() < 0.7 else []
    fit = ["--fit", str(rng.choice(["squash", "crop", "pad"]))] if rng.random() < 0.6 else []
    return ["data", "check", str(folder), "--task", task, *size, *fit]


def look(words: list[str]) -> str:
    """Run a command; return `0` or `2`, or a description of any other outcome."""
    from slimgen.cli.app import app

    result = CliRunner().invoke(app, words)
    if result.exit_code not in (0, 2) or (result.exception and not isinstance(result.exception, SystemExit)):
        return f"{result.exit_code} {result.exception!r}"
    if result.exit_code == 2 and len(result.stderr.strip().splitlines()) != 1:
        return f"2 with {result.stderr!r}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return str(result.exit_code) if peak < MOST_BYTES else f"{peak:,} bytes of memory"


def main() -> None:
    """Run the cases and print a summary; exit with status 1 if one does not exit with 0 or 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    ends, slowest = Counter[str](), 0.0
    for number in range(arguments.first, arguments.first + arguments.cases):
        with tempfile.TemporaryDirectory() as place:
            words = case(number, Path(place))
            began = time.monotonic()
            end = look(words)
            slowest = max(slowest, time.monotonic() - began)
        ends[end if end in ("0", "2") else "wrong"] += 1
        if end not in ("0", "2"):
            print(f"case {number}: {end}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{dict(ends)}; slowest case {slowest:.1f} s, peak memory {peak:,} MiB")
    sys.exit(bool(ends["wrong"]))


if __name__ == "__main__":
    main()
