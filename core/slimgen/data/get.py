"""The papers' data sets that have a public address: download, check, unpack."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from slimgen.data.archives import extract
from slimgen.data.download import Progress, download
from slimgen.data.records import Records, Written, write_images
from slimgen.errors import DataError, nearest
from slimgen.files import sha256_file, write_json


@dataclass(frozen=True)
class PublicSet:
    """A data set on its makers' server.

    Attributes:
        url: of the archive.
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
    """A data set on this machine; also what `source.json` in its folder says."""

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

    Args:
        name: one of `PUBLIC`.
        folder: where to; it must not exist, or be what an earlier call made.
        progress: called with (bytes so far, all bytes or None).
        written: called with (images so far, all images) where images are written out of records.
        sets: other data sets than `PUBLIC`.

    Returns:
        Where it came from, its SHA-256 and its terms, as written to `source.json` in the folder.

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
        if earlier.url == chosen.url:
            return earlier
    if folder.exists():
        raise DataError(f"the folder for {name} is not there yet", folder, "choose another or remove it")
    suffix = "".join(Path(urlsplit(chosen.url).path).suffixes[-2:])
    archive = folder.with_name(f".{folder.name}{suffix}")
    sha256 = _already(archive, chosen.sha256) or download(chosen.url, archive, progress=progress)
    if chosen.sha256 is not None and sha256 != chosen.sha256:
        archive.unlink()
        raise DataError(f"the archive of {name} has the SHA-256 {chosen.sha256}", sha256, "do not use what came")
    got = Got(name, chosen.url, sha256, chosen.terms)
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


def _already(archive: Path, sha256: str | None) -> str | None:
    """The SHA-256 of an archive that an earlier call had whole, where it is known to be the right one."""
    if sha256 is None or not archive.is_file():
        return None
    return sha256 if sha256_file(archive) == sha256 else None
