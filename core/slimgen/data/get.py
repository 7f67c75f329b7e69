"""The papers' data sets that have a public address: download, check, unpack."""

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

Written = Callable[[int, int], None]
"""Told how many images are written, and how many there are."""
TOGETHER = 1000
"""Images that are read at a time."""


@dataclass(frozen=True)
class Records:
    """How the images of a data set lie in its files: RGB, a byte for each value, one plane after the other.

    Attributes:
        side: pixels of a side.
        files: split to the names of its files.
        label: bytes before each image, which say what it shows.
        columns: each plane lies column by column.
    """

    side: int
    files: Mapping[str, tuple[str, ...]]
    label: int = 0
    columns: bool = False

    @property
    def length(self) -> int:
        """Bytes of an image, with its label."""
        return self.label + 3 * self.side**2


@dataclass(frozen=True)
class PublicSet:
    """A data set on its makers' server.

    Attributes:
        terms: under which it may be used, in a sentence.
        sha256: of the archive, where it is known.
        records: how images lie in it that are no files of their own; they become PNGs in `train/` and `test/`.
    """

    url: str
    terms: str
    sha256: str | None = None
    records: Records | None = None


@dataclass(frozen=True)
class Got:
    """A data set on this machine, as `source.json` in its folder says."""

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
    # Divided anew by GAN Compression, section 4.1: 2,048 pairs to test on, where pix2pix has 200.
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
        # To train without labels is what those without are for.
        Records(96, {"train": ("unlabeled_X.bin", "train_X.bin"), "test": ("test_X.bin",)}, columns=True),
    ),
}


#: Data sets of the papers whose licence forbids others to hand them on.
BY_HAND: dict[str, str] = {
    "cityscapes": "register at cityscapes-dataset.com, then lay photographs and coloured label maps out as A/train "
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
    """Download a public data set and unpack it. The same call goes on where an interrupted one stopped.

    The name is one of `PUBLIC`, or of other sets; the folder must not exist, or be what an earlier call made. `written`
    is called for images that are written out of records.

    Raises:
        DataError: if the name is unknown, the folder holds something else, the download fails, its SHA-256 is not the
            known one, the archive is not safe to unpack, its records end amid an image, or there is no room.
    """
    known = PUBLIC if sets is None else sets
    if name in BY_HAND and name not in known:
        raise DataError(f"{name} is had from its makers alone", hint=BY_HAND[name])
    if name not in known:
        raise DataError("a public data set is known by its name", repr(name), nearest(name, known))
    chosen, note = known[name], folder / "source.json"
    if note.is_file():
        try:
            earlier = Got(**json.loads(note.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise DataError(f"{note} says where the data came from", "a damaged file", f"remove {folder}") from error
        if earlier.url == shown(chosen.url):
            return earlier
    if folder.exists():
        raise DataError(f"the folder for {name} is not there yet", folder, "choose another or remove it")
    suffix = "".join(Path(urlsplit(chosen.url).path).suffixes[-2:])
    archive = folder.with_name(f".{folder.name}{suffix}")
    # An earlier call may have received the archive whole.
    sha256 = sha256_file(archive) if archive.is_file() else ""
    if sha256 != chosen.sha256:
        sha256 = download(chosen.url, archive, progress=progress)
    if chosen.sha256 not in (None, sha256):
        archive.unlink()
        raise DataError(f"the archive of {name} has the SHA-256 {chosen.sha256}", sha256, "do not use what came")
    got = Got(name, shown(chosen.url), sha256, chosen.terms)
    staged = folder.with_name(f".{folder.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        extract(archive, staged)
        if chosen.records is not None:
            write_images(staged, chosen.records, written)
        write_json(staged / note.name, asdict(got))
        staged.rename(folder)
    except OSError as error:
        raise DataError(f"{name} is unpacked beside {folder}", error, "make room, or choose another place") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    archive.unlink()
    return got


def write_images(folder: Path, records: Records, written: Written | None = None) -> int:
    """Writes every image as a PNG into the folder of its split, and removes the files of records.

    Names are of the file and the image's number in it, from 0: `train/data_batch_1-00000.png`. Returns how many.

    Raises:
        DataError: a file is missing, empty, or ends amid an image, or the folder of a split is there already.
    """
    splits = {folder / name: folder / split for split, names in records.files.items() for name in names}
    sizes = {path: path.stat().st_size if path.is_file() else 0 for path in splits}
    for path, size in sizes.items():
        if not size or size % records.length:
            rule = f"{path.name} holds whole images of {records.length} bytes each"
            raise DataError(rule, f"{size:,} bytes" if path.is_file() else "no such file")
    for split in dict.fromkeys(splits.values()):
        if split.exists():
            rule = f"images of records are written into a folder {split.name} of their own"
            raise DataError(rule, "one that is there")
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
    """Writes the images of one file, and says how many after every few."""
    # Of an array (rows, 3, height, width) or (rows, 3, width, height).
    axes = (0, 3, 2, 1) if records.columns else (0, 2, 3, 1)
    count = 0
    with path.open("rb") as file:
        while block := file.read(TOGETHER * records.length):
            rows = np.frombuffer(block, np.uint8).reshape(-1, records.length)[:, records.label :]
            images = rows.reshape(-1, 3, records.side, records.side).transpose(axes)
            for number, image in enumerate(images, count):
                # Lossless at any level; this one is several times as fast as the default.
                target = folder / f"{path.stem}-{number:05d}.png"
                Image.fromarray(np.ascontiguousarray(image)).save(target, compress_level=1)
            count += len(images)
            yield len(images)
