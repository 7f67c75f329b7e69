"""The runtime of the page: the pinned package or nothing, wherever it comes from."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from slimgen.demo import runtime
from slimgen.demo.runtime import FILES, NAME, VERSION, find_runtime, integrity
from slimgen.errors import RunError


def package(version: str = VERSION, name: str = NAME, leave: str = "", more: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    """A packed package as npm writes it, of short files."""
    content = {file: f"of {file}".encode() for file in FILES if file != leave}
    content["package.json"] = json.dumps({"name": name, "version": version}).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for info in more:
            archive.addfile(info)
        for file, data in content.items():
            info = tarfile.TarInfo(f"package/{file}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A cache of its own, and no npm."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


@pytest.fixture
def pinned(monkeypatch) -> bytes:
    """A package that counts as the published one."""
    content = package()
    monkeypatch.setattr(runtime, "INTEGRITY", integrity(content))
    for file in FILES:
        monkeypatch.setitem(runtime.FILES, file, hashlib.sha256(f"of {file}".encode()).hexdigest())
    return content


def npm(home: Path, script: str) -> None:
    """An npm of one's own, which finds the name of its folder after --pack-destination."""
    path = home / "bin" / "npm"
    path.write_text(f"#!/bin/sh\nfor last; do :; done\n{script}\n")
    path.chmod(0o755)


def test_without_npm_one_line_says_what_to_bring(home) -> None:
    with pytest.raises(RunError, match=r"needs onnxruntime-web .* no npm .*--runtime onnxruntime-web-.*\.tgz"):
        find_runtime()


def test_what_npm_says_is_passed_on_and_nothing_is_kept(home) -> None:
    npm(home, "echo 'npm error network: no route' >&2; exit 1")
    with pytest.raises(RunError, match="from npm: npm error network: no route"):
        find_runtime()
    assert not (home / "cache").exists()


def test_another_package_than_the_published_one_is_refused_and_not_kept(home) -> None:
    (home / "other.tgz").write_bytes(package())
    npm(home, f'/bin/cp {home}/other.tgz "$last/{NAME}-{VERSION}.tgz"')
    with pytest.raises(RunError, match="must have the integrity sha512-"):
        find_runtime()
    assert not (home / "cache").exists()


def test_it_is_fetched_once_and_a_damaged_copy_is_fetched_again(home, pinned) -> None:
    (home / "published.tgz").write_bytes(pinned)
    npm(home, f'/bin/cp {home}/published.tgz "$last/{NAME}-{VERSION}.tgz"')
    said: list[str] = []
    assert set(find_runtime(say=said.append).files) == set(FILES)
    (home / "bin" / "npm").unlink()
    assert find_runtime(say=said.append).version == VERSION
    assert len(said) == 1
    kept = home / "cache" / "slimgen" / f"{NAME}-{VERSION}.tgz"
    assert os.listdir(kept.parent) == [kept.name]
    kept.write_bytes(pinned[:-9])
    with pytest.raises(RunError, match="no npm"):
        find_runtime()


def test_a_package_may_be_brought_as_a_file_or_an_installed_folder(home, pinned) -> None:
    (home / "own.tgz").write_bytes(pinned)
    packed = find_runtime(home / "own.tgz")
    folder = home / "app" / "node_modules" / NAME
    with tarfile.open(fileobj=io.BytesIO(pinned)) as archive:
        for member in archive.getmembers():
            path = folder / member.name.removeprefix("package/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.extractfile(member).read())
    for place in (folder, home / "app"):
        assert find_runtime(place) == packed
    (folder / "dist" / "ort.wasm.min.js").write_bytes(b"changed")
    with pytest.raises(RunError, match=r"ort\.wasm\.min\.js of onnxruntime-web .* must be as it was published"):
        find_runtime(folder)


def test_another_version_is_taken_if_it_is_brought_and_said(home) -> None:
    (home / "newer.tgz").write_bytes(package("9.9.9"))
    found = find_runtime(home / "newer.tgz")
    assert found.version == "9.9.9"
    assert VERSION in found.note
    assert "9.9.9" in found.note


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "must be a package of npm"),
        (package(name="left-pad"), "one named 'left-pad'"),
        (package("9.9.9", leave="dist/ort.wasm.min.js"), "must have dist/ort.wasm.min.js"),
        (package()[:200], "must be a package of npm"),
    ],
)
def test_what_is_no_such_package_is_refused_in_one_line(home, content, message) -> None:
    (home / "own.tgz").write_bytes(content)
    with pytest.raises(RunError, match=message) as caught:
        find_runtime(home / "own.tgz")
    assert "\n" not in str(caught.value)


def test_only_regular_files_of_known_names_leave_an_archive(home) -> None:
    link, outside = tarfile.TarInfo("package/dist/ort.wasm.min.js"), tarfile.TarInfo("../outside")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    (home / "own.tgz").write_bytes(package("9.9.9", leave="dist/ort.wasm.min.js", more=(link, outside)))
    with pytest.raises(RunError, match=r"must have dist/ort\.wasm\.min\.js"):
        find_runtime(home / "own.tgz")
    assert not (home.parent / "outside").exists()


def test_a_place_with_nothing_in_it_is_refused(home) -> None:
    with pytest.raises(RunError, match="which is neither"):
        find_runtime(home / "nowhere.tgz")
    with pytest.raises(RunError, match=r"no package\.json"):
        find_runtime(home)
