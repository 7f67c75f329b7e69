"""Download of the papers' data sets that have a public address: fetch, check, unpack."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from slimgen.addresses import shown
from slimgen.data.archives import extract
from slimgen.data.download import Progress, download
from slimgen.errors import DataError, nearest
from slimgen.files import sha256_file, write_json

SOURCE = "source.json"
"""The note in a downloaded data set that says where it came from, and under which terms."""
Written = Callable[[int, int], None]
"""Function called with the number of images written and the total."""
TOGETHER = 1000
"""Number of images read at a time."""


@dataclass(frozen=True)
class Records:
    """Binary format of a data set's images: RGB, one byte per value, one plane after the other.

    Attributes:
        side: pixels of a side.
        files: names of the files of each split.
        label: number of bytes before each image, which hold its class.
        columns: whether each plane is stored column by column.
    """

    side: int
    files: Mapping[str, tuple[str, ...]]
    label: int = 0
    columns: bool = False

    @property
    def length(self) -> int:
        """Bytes of an image with its label."""
        return self.label + 3 * self.side**2


@dataclass(frozen=True)
class Archive:
    """Archive of a data set.

    Attributes:
        sha256: its SHA-256, if known.
        md5: its MD5, where that is all its authors or users have published.
        folder: folder of the data set into which it is unpacked; empty for the data set itself.
    """

    url: str
    sha256: str | None = None
    md5: str | None = None
    folder: str = ""


@dataclass(frozen=True)
class PublicSet:
    """Data set on its authors' server.

    Attributes:
        terms: terms of use, in a sentence.
        sha256: SHA-256 of the archive, if known.
        records: format of images that are not stored as files; they become PNGs in `train/` and `test/`.
        md5: MD5 of the archive, if that is all that is known.
        folder: folder into which the archive is unpacked, in a data set of several; else empty.
        others: further archives of the set.
    """

    url: str
    terms: str
    sha256: str | None = None
    records: Records | None = None
    md5: str | None = None
    folder: str = ""
    others: tuple[Archive, ...] = ()

    @property
    def archives(self) -> tuple[Archive, ...]:
        """All archives of the set."""
        return (Archive(self.url, self.sha256, self.md5, self.folder), *self.others)


class ByHand(NamedTuple):
    """Data set that is not downloaded: the reason, and what to do instead."""

    why: str
    how: str


@dataclass(frozen=True)
class Got:
    """Data set on this machine, as recorded in `source.json` in its folder."""

    name: str
    url: str
    sha256: str
    terms: str


_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K"
_PIX2PIX = "https://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
_CYCLEGAN = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets"
_FLICKR = "Photographs collected from Flickr for CycleGAN; their owners keep their rights. Research use."
_IMAGENET = "Photographs from ImageNet, collected for CycleGAN; non-commercial research use."
_MAPS = "Scraped from Google Maps for pix2pix; Google's terms apply. Research use."
PUBLIC: dict[str, PublicSet] = {
    "facades": PublicSet(
        f"{_PIX2PIX}/facades.tar.gz", "CMP Facade Database, Tylecek and Sara, GCPR 2013; research use, cite."
    ),
    "edges2shoes": PublicSet(
        f"{_PIX2PIX}/edges2shoes.tar.gz", "UT Zappos50K, Yu and Grauman, CVPR 2014; non-commercial research use, cite."
    ),
    # Divided again by GAN Compression, section 4.1: 2,048 test pairs, where pix2pix has 200.
    "edges2shoes-r": PublicSet(
        "https://huggingface.co/mit-han-lab/gan-compression/resolve/main/datasets/edges2shoes-r.tar.gz",
        "UT Zappos50K, Yu and Grauman, CVPR 2014, divided anew by GAN Compression; non-commercial research use, cite.",
    ),
    "edges2handbags": PublicSet(
        f"{_PIX2PIX}/edges2handbags.tar.gz", "Collected for iGAN, Zhu et al., ECCV 2016; research use, cite."
    ),
    "maps": PublicSet(f"{_PIX2PIX}/maps.tar.gz", _MAPS),
    "night2day": PublicSet(
        f"{_PIX2PIX}/night2day.tar.gz", "Transient Attributes, Laffont et al., SIGGRAPH 2014; research use, cite."
    ),
    "horse2zebra": PublicSet(f"{_CYCLEGAN}/horse2zebra.zip", _IMAGENET),
    "apple2orange": PublicSet(f"{_CYCLEGAN}/apple2orange.zip", _IMAGENET),
    "summer2winter_yosemite": PublicSet(f"{_CYCLEGAN}/summer2winter_yosemite.zip", _FLICKR),
    "iphone2dslr_flower": PublicSet(f"{_CYCLEGAN}/iphone2dslr_flower.zip", _FLICKR),
    "cifar10": PublicSet(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "CIFAR-10, Krizhevsky 2009; research use, cite.",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        Records(
            32, {"train": tuple(f"data_batch_{part}.bin" for part in range(1, 6)), "test": ("test_batch.bin",)}, label=1
        ),
    ),
    "stl10": PublicSet(
        "https://cs.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
        "STL-10, Coates, Lee and Ng, AISTATS 2011, images of ImageNet; research use, cite.",
        "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
        # The unlabelled images belong to train, since training needs no labels.
        Records(96, {"train": ("unlabeled_X.bin", "train_X.bin"), "test": ("test_X.bin",)}, columns=True),
    ),
    "div2k": PublicSet(
        f"{_DIV2K}/DIV2K_train_HR.zip",
        "DIV2K, Agustsson and Timofte, CVPR workshops 2017; research use, cite.",
        "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335",
        folder="DIV2K_train_HR",
        others=(
            Archive(
                f"{_DIV2K}/DIV2K_valid_HR.zip",
                "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
                folder="DIV2K_valid_HR",
            ),
        ),
    ),
    "flickr2k": PublicSet(
        "https://cv.snu.ac.kr/research/EDSR/Flickr2K.tar",
        "Flickr2K, Lim et al., CVPR workshops 2017: photographs whose owners keep their rights; research use, cite.",
        md5="5d3f39443d5e9489bff8963f8f26cb03",
    ),
}


_UNCHECKED = "no checksum of its archive is published"


def _benchmark(name: str) -> ByHand:
    where = "download https://cv.snu.ac.kr/research/EDSR/benchmark.tar, which holds it, or get it from its authors"
    return ByHand(_UNCHECKED, f"{where}, and put its folder, with HR/ inside, into test/ of your data: test/{name}/HR/")


BY_HAND: dict[str, ByHand] = {
    "cityscapes": ByHand(
        "it needs an account",
        "register at cityscapes-dataset.com, then put photographs and coloured label maps into A/train B/train A/test "
        "B/test",
    ),
    "set5": _benchmark("Set5"),
    "set14": _benchmark("Set14"),
    "bsd100": _benchmark("B100"),
    "urban100": _benchmark("Urban100"),
}
"""Data sets of the papers that are not downloaded: their licence forbids it, or the download could not be checked."""


def get(
    name: str,
    folder: Path,
    *,
    progress: Progress | None = None,
    written: Written | None = None,
    sets: dict[str, PublicSet] | None = None,
) -> Got:
    """Download a public data set and unpack it. The same call resumes after an interruption.

    The name is one of `PUBLIC`, or of `sets`; the folder must not exist, or come from an earlier call. `written` is
    called while images are converted from records.

    Raises:
        DataError: the name is unknown, the folder holds something else, the download fails, its digest differs from
            the known one, the archive is unsafe to unpack, a record is incomplete, or there is no room.
    """
    known = PUBLIC if sets is None else sets
    if name in BY_HAND and name not in known:
        why, how = BY_HAND[name]
        raise DataError(f"{name} must be downloaded from its authors' site: {why}", None, how)
    if name not in known:
        raise DataError("unknown public data set", repr(name), nearest(name, known))
    chosen, earlier = known[name], source_of(folder)
    if earlier is not None and earlier.url == shown(chosen.url):
        return earlier
    if folder.exists():
        raise DataError(f"the folder for {name} must not exist yet", folder, "choose another folder or remove it")
    fetched = {archive: _fetched(name, folder, archive, progress) for archive in chosen.archives}
    digests = " ".join(sha256 for _, sha256 in fetched.values())
    got = Got(name, shown(chosen.url), digests, chosen.terms)
    staged = folder.with_name(f".{folder.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        for archive, (path, _) in fetched.items():
            extract(path, staged / archive.folder if archive.folder else staged)
        if chosen.records is not None:
            write_images(staged, chosen.records, written)
        write_json(staged / SOURCE, asdict(got))
        staged.rename(folder)
    except OSError as error:
        hint = "free some space, or choose another folder"
        raise DataError(f"cannot unpack {name} at {folder}: {error}", None, hint) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    for path, _ in fetched.values():
        path.unlink()
    return got


def _fetched(name: str, folder: Path, archive: Archive, progress: Progress | None) -> tuple[Path, str]:
    """Download an archive beside the data set's folder, and check it; return its path and SHA-256."""
    suffix = "".join(Path(urlsplit(archive.url).path).suffixes[-2:])
    path = folder.with_name(f".{folder.name}{f'.{archive.folder}' if archive.folder else ''}{suffix}")
    # An earlier call may have downloaded the whole archive.
    sha256 = sha256_file(path) if path.is_file() else ""
    if sha256 != archive.sha256:
        sha256 = download(archive.url, path, progress=progress)
    for kind, known in {"SHA-256": archive.sha256, "MD5": archive.md5}.items():
        if known is None:
            continue
        found = sha256 if kind == "SHA-256" else _md5(path)
        if found != known:
            path.unlink()
            rule = f"the archive of {name} must have the {kind} {known}"
            raise DataError(rule, found, "the download was removed; try again, or report a changed archive")
    return path, sha256


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def source_of(folder: Path) -> Got | None:
    """Return where the images of a folder were downloaded from, if `get` did it; DataError for a damaged note."""
    note = folder / SOURCE
    if not note.is_file():
        return None
    try:
        return Got(**json.loads(note.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"cannot read {note}: the file is damaged", None, f"remove {folder}") from error


def write_images(folder: Path, records: Records, written: Written | None = None) -> int:
    """Write every image as a PNG into the folder of its split, and remove the files of records.

    A name consists of the file's name and the image's number in it, from 0: `train/data_batch_1-00000.png`. Returns the
    number of images.

    Raises:
        DataError: a file is missing, empty, or ends inside an image, or the folder of a split already exists.
    """
    splits = {folder / name: folder / split for split, names in records.files.items() for name in names}
    sizes = {path: path.stat().st_size if path.is_file() else 0 for path in splits}
    for path, size in sizes.items():
        if not size or size % records.length:
            rule = f"{path.name} must contain whole images of {records.length} bytes each"
            raise DataError(rule, f"{size:,} bytes" if path.is_file() else "no such file", "download it again")
    for split in dict.fromkeys(splits.values()):
        if split.exists():
            raise DataError(f"the archive must not contain a folder {split.name}", "one", "download it again")
        split.mkdir()
    done, every = 0, sum(sizes.values()) // records.length
    for path, split in splits.items():
        for count in _write(path, split, records):
            done += count
            if written is not None:
                written(done, every)
        path.unlink()
    return done


def _write(path: Path, folder: Path, records: Records) -> Iterator[int]:
    """Write the images of one file, and yield the number of each block."""
    # Axes of an array (rows, 3, height, width) or (rows, 3, width, height).
    axes = (0, 3, 2, 1) if records.columns else (0, 2, 3, 1)
    count = 0
    with path.open("rb") as file:
        while block := file.read(TOGETHER * records.length):
            rows = np.frombuffer(block, np.uint8).reshape(-1, records.length)[:, records.label :]
            images = rows.reshape(-1, 3, records.side, records.side).transpose(axes)
            for number, image in enumerate(images, count):
                # Lossless at any level; level 1 is several times as fast as the default.
                target = folder / f"{path.stem}-{number:05d}.png"
                Image.fromarray(np.ascontiguousarray(image)).save(target, compress_level=1)
            count += len(images)
            yield len(images)
