"""The page's folder appears whole or not at all, and never at the cost of what lies there."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimgen.demo.folder import MARK, is_current, require_own, write_folder
from slimgen.demo.parts import PIECE, Script, scripts
from slimgen.errors import RunError
from tests.demo.page import part

FILES = [Script("index.html", b"one"), Script("parts/a-0.js", b"two")]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_page_is_written_once_and_replaced_when_it_is_made_of_something_else(tmp_path) -> None:
    out = tmp_path / "deep" / "page"
    assert write_folder(out, "a", FILES) == 6
    assert names(out) == [MARK, "index.html", "parts/a-0.js"]
    assert os.listdir(out.parent) == ["page"]
    assert is_current(out, "a")
    assert not is_current(out, "b")
    write_folder(out, "b", [Script("index.html", b"new")])
    assert names(out) == [MARK, "index.html"]
    assert (out / "index.html").read_bytes() == b"new"
    (out / "index.html").write_bytes(b"edited")
    assert not is_current(out, "b")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device"), RunError("no")])
def test_a_page_that_cannot_be_finished_leaves_the_one_before(tmp_path, failure) -> None:
    out = tmp_path / "page"
    write_folder(out, "a", FILES)

    def files() -> Iterator[Script]:
        yield FILES[0]
        raise failure

    with pytest.raises((RunError, KeyboardInterrupt)):
        write_folder(out, "b", files())
    assert is_current(out, "a")
    assert os.listdir(tmp_path) == ["page"]


def test_files_of_the_user_are_never_replaced(tmp_path) -> None:
    out = tmp_path / "page"
    write_folder(out, "a", FILES)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"which holds notes\.txt"):
        write_folder(out, "b", FILES)
    assert (out / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="must be a folder"):
        require_own(tmp_path / "file")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(RunError, match="must be a folder"):
        require_own(tmp_path / "link")


def test_a_record_that_is_no_record_protects_everything(tmp_path) -> None:
    for content in ("[]", '{"files": 3}', "torn {"):
        (tmp_path / MARK).write_text(content)
        (tmp_path / "index.html").write_text("mine")
        with pytest.raises(RunError, match=r"which holds index\.html"):
            require_own(tmp_path)
        assert not is_current(tmp_path, "a")


@pytest.mark.parametrize("size", [0, 1, 1000, PIECE + 5])
def test_a_part_comes_back_from_its_scripts(tmp_path, size) -> None:
    content = os.urandom(size)
    made = list(scripts("some-part", content))
    assert [script.file for script in made] == [f"parts/some-part-{number}.js" for number in range(len(made))]
    assert len(made) == (1 if size < PIECE // 2 else 2)
    assert made == list(scripts("some-part", content))
    (tmp_path / "parts").mkdir()
    for script in made:
        (tmp_path / script.file).write_bytes(script.content)
    assert part(tmp_path, "some-part") == content
    assert json.loads(made[0].content.decode().split(", ")[1]) == 0
