"""Download of the papers' data sets that have a public address: fetch, check, unpack."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
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
class PublicSet:
    """Data set on its authors' server.

    Attributes:
        terms: terms of use, in a sentence.
        sha256: SHA-256 of the archive, if known.
        records: format of images that are not stored as files; they become PNGs in `train/` and `test/`.
    """

    url: str
    terms: str
    sha256: str | None = None
    records: Records | None = None


@dataclass(frozen=True)
class Got:
    """Data set on this machine, as recorded in `source.json` in its folder."""

    name: str
    url: str
    sha256: str
    terms: str


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
}


#: Data sets of the papers whose licence forbids redistribution.
BY_HAND: dict[str, str] = {
    "cityscapes": "register at cityscapes-dataset.com, then put photographs and coloured label maps into A/train "
    "B/train A/test B/test",
}


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
        DataError: the name is unknown, the folder holds something else, the download fails, its SHA-256 differs from
            the known one, the archive is unsafe to unpack, a record is incomplete, or there is no room.
    """
    known = PUBLIC if sets is None else sets
    if name in BY_HAND and name not in known:
        raise DataError(f"{name} must be downloaded from its authors' site: it needs an account", None, BY_HAND[name])
    if name not in known:
        raise DataError("unknown public data set", repr(name), nearest(name, known))
    chosen, earlier = known[name], source_of(folder)
    if earlier is not None and earlier.url == shown(chosen.url):
        return earlier
    if folder.exists():
        raise DataError(f"the folder for {name} must not exist yet", folder, "choose another folder or remove it")
    suffix = "".join(Path(urlsplit(chosen.url).path).suffixes[-2:])
    archive = folder.with_name(f".{folder.name}{suffix}")
    # An earlier call may have downloaded the whole archive.
    sha256 = sha256_file(archive) if archive.is_file() else ""
    if sha256 != chosen.sha256:
        sha256 = download(chosen.url, archive, progress=progress)
    if chosen.sha256 not in (None, sha256):
        archive.unlink()
        rule = f"the archive of {name} must have the SHA-256 {chosen.sha256}"
        raise DataError(rule, sha256, "the download was removed; try again, or report a changed archive")
    got = Got(name, shown(chosen.url), sha256, chosen.terms)
    staged = folder.with_name(f".{folder.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        extract(archive, staged)
        if chosen.records is not None:
            write_images(staged, chosen.records, written)
        write_json(staged / SOURCE, asdict(got))
        staged.rename(folder)
    except OSError as error:
        hint = "free some space, or choose another folder"
        raise DataError(f"cannot unpack {name} at {folder}: {error}", None, hint) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    archive.unlink()
    return got


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
