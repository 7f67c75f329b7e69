import dataclasses
import errno
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from slimgen.data.archives import extract
from slimgen.data.download import download
from slimgen.data.get import BY_HAND, PUBLIC, Archive, PublicSet, get
from slimgen.errors import DataError
from slimgen.shortage import ShortageError

CONTENT = np.random.default_rng(0).bytes(1_000_000)


class Server:
    """A file server with Range requests whose connection can be cut and whose file can change."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.etag = '"one"'
        self.cut_after: list[int] = []
        self.ranges: list[str | None] = []
        self.sent = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path in self.moved:
            request.send_response(302)
            request.send_header("Location", self.moved[request.path])
            request.end_headers()
            return
        asked, content = request.headers.get("Range"), self.files.get(request.path)
        self.ranges.append(asked)
        if content is None:
            request.send_error(404)
            return
        start = 0
        if asked and request.headers.get("If-Range") == self.etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                request.send_error(416)
                return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.etag:
            request.send_header("ETag", self.etag)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        body = content[start:]
        if self.cut_after:
            body = body[: self.cut_after.pop(0)]
        self.sent += len(body)
        request.wfile.write(body)
        request.close_connection = True

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.files["/file"] = CONTENT
    yield server
    server.close()


def test_a_file_arrives_whole_with_its_hash(server: Server, tmp_path: Path) -> None:
    seen = []
    path = tmp_path / "new" / "file"
    digest = download(f"{server.url}/file", path, progress=lambda done, total: seen.append((done, total)))
    assert digest == hashlib.sha256(CONTENT).hexdigest()
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (1_000_000, 1_000_000)
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_cut_download_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cut_after = [300_000, 200_000]
    download(f"{server.url}/file", tmp_path / "file", pause=0)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=500000-"]
    assert server.sent == 1_000_000


def test_a_cut_download_is_resumed_behind_a_redirect(server: Server, tmp_path: Path) -> None:
    server.moved["/resolve"], server.cut_after = f"{server.url}/file", [300_000]
    download(f"{server.url}/resolve", tmp_path / "file", pause=0)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_another_process_resumes_a_download(server: Server, tmp_path: Path) -> None:
    server.cut_after = [400_000, 0, 0]
    with pytest.raises(DataError, match=r"2 attempts failed.*resumes the download"):
        download(f"{server.url}/file", tmp_path / "file", pause=0, attempts=2)
    assert not (tmp_path / "file").exists()
    download(f"{server.url}/file", tmp_path / "file", pause=0)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=400000-"


def test_a_file_that_has_changed_is_downloaded_from_the_beginning(server: Server, tmp_path: Path) -> None:
    server.cut_after = [400_000, 0, 0]
    with pytest.raises(DataError):
        download(f"{server.url}/file", tmp_path / "file", pause=0, attempts=2)
    server.files["/file"], server.etag = CONTENT[::-1], '"two"'
    download(f"{server.url}/file", tmp_path / "file", pause=0)
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_validator_no_two_parts_are_joined(server: Server, tmp_path: Path, etag: str) -> None:
    server.etag, server.cut_after = etag, [400_000]
    download(f"{server.url}/file", tmp_path / "file", pause=0)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(bytes(2_000_000))
    (tmp_path / "file.partial.json").write_text(json.dumps({"url": f"{server.url}/file", "validator": server.etag}))
    download(f"{server.url}/file", tmp_path / "file", pause=0)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_missing_file_is_an_error_at_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="HTTP 404"):
        download(f"{server.url}/gone", tmp_path / "file")
    assert len(server.ranges) == 1


def test_a_file_too_large_for_the_disk_is_refused_before_it_is_downloaded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimgen.data.download.free", lambda folder: len(CONTENT) - 1)
    with pytest.raises(
        ShortageError, match=f"downloading file needs more room than the disk has.* left in {tmp_path};"
    ):
        download(f"{server.url}/file", tmp_path / "file")
    assert len(server.ranges) == 1  # it is no fault of the network, and not tried again
    assert not (tmp_path / "file").exists()


def test_an_unreachable_server_is_an_error(tmp_path: Path) -> None:
    closed = Server()
    closed.close()
    with pytest.raises(DataError, match=r"cannot download .*: 2 attempts failed"):
        download(f"{closed.url}/file", tmp_path / "file", attempts=2, pause=0)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "/etc/hostname"])
def test_only_http_addresses_are_allowed(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="http"):
        download(url, tmp_path / "file")


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as file:
        for info, data in members:
            file.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_archive_is_unpacked_and_its_one_folder_becomes_the_folder(tmp_path: Path, mode: str) -> None:
    archive = tar(
        tmp_path / "a",
        member("set", kind=tarfile.DIRTYPE),
        member("./set/train/1.png", b"one"),
        member("set/x", b"x"),
        mode=mode,
    )
    extract(archive, tmp_path / "out")
    found = {
        p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()
    }
    assert found == {"train/1.png": b"one", "x": b"x"}


def test_a_zip_archive_of_several_folders_is_unpacked_as_it_is(tmp_path: Path) -> None:
    extract(zipped(tmp_path / "a.zip", **{"trainA/1.png": b"a", "trainB/1.png": b"b"}), tmp_path / "out")
    assert (tmp_path / "out" / "trainB" / "1.png").read_bytes() == b"b"


HOSTILE = {
    "absolute": member("/tmp/evil", b"x"),
    "leaves": member("set/../../evil", b"x"),
    "backslash": member("..\\evil", b"x"),
    "drive": member("C:evil", b"x"),
    "symbolic link": member("set/link", kind=tarfile.SYMTYPE, link="/etc"),
    "hard link": member("set/link", kind=tarfile.LNKTYPE, link="../../evil"),
    "device": member("set/null", kind=tarfile.CHRTYPE),
    "pipe": member("set/pipe", kind=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_tar_archive_is_refused_and_leaves_nothing(tmp_path: Path, what: str) -> None:
    (tmp_path / "deep").mkdir()
    archive = tar(tmp_path / "a.tar.gz", member("set/1.png", b"one"), HOSTILE[what])
    with pytest.raises(DataError, match="plain files inside its folder"):
        extract(archive, tmp_path / "deep" / "out")
    assert {p.name for p in tmp_path.rglob("*")} == {"a.tar.gz", "deep"}


@pytest.mark.parametrize("name", ["/tmp/evil", "../evil", "a/../../evil", "..\\evil"])
def test_a_hostile_zip_archive_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "a.zip", **{"ok": b"fine", name: b"x"})
    with pytest.raises(DataError, match="plain files inside its folder"):
        extract(archive, tmp_path / "out")
    assert {p.name for p in tmp_path.rglob("*")} == {"a.zip"}


def test_a_symbolic_link_in_a_zip_archive_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc")
    with pytest.raises(DataError, match="a link or a device"):
        extract(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_bomb_is_refused_when_it_passes_the_limit(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimgen.data.archives.HARMLESS", 2_000_000)
    zeros = bytes(3_000_000)
    archive = tar(tmp_path / "a", member("a", zeros)) if kind == "tar" else zipped(tmp_path / "a", a=zeros)
    assert archive.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"must unpack to at most 2,000,000 bytes; got more; unpack it yourself"):
        extract(archive, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_content_that_hardly_compresses_is_unpacked_at_any_size(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimgen.data.archives.HARMLESS", 1000)
    noise = np.random.default_rng(0).bytes(300_000)
    archive = tar(tmp_path / "a", member("a", noise)) if kind == "tar" else zipped(tmp_path / "a", a=noise)
    extract(archive, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == noise


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("how", ["foreseen", "met"])
def test_a_full_disk_is_reported_with_its_folder_and_leaves_nothing(
    tmp_path: Path, kind: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).bytes(300_000)
    archive = tar(tmp_path / "a", member("a", noise)) if kind == "tar" else zipped(tmp_path / "a", a=noise)
    if how == "foreseen":
        monkeypatch.setattr("slimgen.data.archives.free", lambda folder: 250_000)
    else:
        opened = Path.open

        def full(path: Path, mode: str = "r", *rest: object, **more: object) -> IO[bytes]:
            if mode == "xb":
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return opened(path, mode, *rest, **more)

        monkeypatch.setattr(Path, "open", full)
    with pytest.raises(
        ShortageError, match=rf"unpacking a needs more room than the disk has; got .* left in {tmp_path}"
    ):
        extract(archive, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimgen.data.archives.FEW", 4)
    monkeypatch.setattr("slimgen.data.archives.MEMBER", 1 << 20)
    archive = tar(tmp_path / "a", *(member(f"{i}") for i in range(5)))
    with pytest.raises(DataError, match="at most 4 members"):
        extract(archive, tmp_path / "out")


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="twice"):
        extract(tar(tmp_path / "a", member("x", b"1"), member("x", b"2")), tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar", "zip", "text", "missing"])
def test_a_damaged_archive_is_an_error(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(1).bytes(50_000)
    if kind == "tar":
        archive = tar(tmp_path / "a", member("x", noise))
        archive.write_bytes(archive.read_bytes()[:30_000])
    elif kind == "zip":
        archive = zipped(tmp_path / "a", x=noise)
        data = bytearray(archive.read_bytes())
        data[20_000] ^= 255
        archive.write_bytes(data)
    else:
        archive = tmp_path / "a"
        if kind == "text":
            archive.write_text("no archive")
    with pytest.raises(DataError, match="must be a complete tar or zip archive"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def sets(server: Server, tmp_path: Path) -> dict[str, PublicSet]:
    archive = tar(tmp_path / "set.tar.gz", member("set/train/1.png", b"one"), member("set/test/2.png", b"two"))
    server.files["/set.tar.gz"] = archive.read_bytes()
    archive.unlink()
    return {"set": PublicSet(f"{server.url}/set.tar.gz", "Free for all.")}


def test_a_data_set_is_downloaded_once(server: Server, sets: dict[str, PublicSet], tmp_path: Path) -> None:
    got = get("set", tmp_path / "out", sets=sets)
    assert (tmp_path / "out" / "train" / "1.png").read_bytes() == b"one"
    assert got.sha256 == hashlib.sha256(server.files["/set.tar.gz"]).hexdigest()
    assert got.terms == "Free for all."
    assert get("set", tmp_path / "out", sets=sets) == got
    assert len(server.ranges) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_archive_with_another_hash_than_the_known_one_is_refused(sets: dict[str, PublicSet], tmp_path: Path) -> None:
    sets = {"set": PublicSet(sets["set"].url, "Free for all.", sha256="0" * 64)}
    with pytest.raises(DataError, match="must have the SHA-256 0000"):
        get("set", tmp_path / "out", sets=sets)
    assert list(tmp_path.iterdir()) == []


def test_a_set_of_several_archives_keeps_their_folders_and_each_is_checked(server: Server, tmp_path: Path) -> None:
    digests = []
    for part in ("train", "valid"):
        archive = tar(tmp_path / f"{part}.tar", member(f"set_{part}_HR/1.png", part.encode()))
        server.files[f"/{part}.tar"] = archive.read_bytes()
        digests.append(hashlib.sha256(archive.read_bytes()).hexdigest())
        md5 = hashlib.md5(archive.read_bytes()).hexdigest()
        archive.unlink()
    other = Archive(f"{server.url}/valid.tar", md5=md5, folder="set_valid_HR")
    known = PublicSet(f"{server.url}/train.tar", "Free for all.", digests[0], folder="set_train_HR", others=(other,))
    got = get("set", tmp_path / "out", sets={"set": known})
    assert got.sha256 == " ".join(digests)
    assert {path.parent.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.png")} == {
        "set_train_HR": b"train",
        "set_valid_HR": b"valid",
    }
    wrong = dataclasses.replace(known, others=(dataclasses.replace(other, md5="0" * 32),))
    with pytest.raises(DataError, match="the archive of set must have the MD5 0000"):
        get("set", tmp_path / "again", sets={"set": wrong})


def test_files_in_the_folder_are_never_overwritten(sets: dict[str, PublicSet], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.png").touch()
    with pytest.raises(DataError, match="must not exist yet"):
        get("set", tmp_path / "out", sets=sets)
    assert (tmp_path / "out" / "mine.png").exists()


def test_a_misspelt_set_is_corrected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'edges2shoes'"):
        get("edge2shoes", tmp_path / "out")


def test_a_set_that_must_not_be_redistributed_comes_with_instructions(tmp_path: Path) -> None:
    for name in BY_HAND:
        with pytest.raises(DataError, match=r"from its authors' site: .+; (register|download) .+ into "):
            get(name, tmp_path / "out")


def test_every_public_set_has_an_address_and_terms() -> None:
    for name, known in PUBLIC.items():
        assert known.url.startswith("https://")
        assert name.replace("-", "") in known.url.replace("-", "").lower()
        assert len(known.terms) > 20
