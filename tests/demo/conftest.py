"""One browser and one page of each kind for the tests of this folder."""

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimgen.demo.runtime import Runtime, find_runtime
from slimgen.errors import RunError
from slimgen.stages.demo import demo
from tests.demo.runs import finished_run


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """The real runtime, of the user's cache or by npm."""
    try:
        return find_runtime()
    except RunError as error:
        pytest.skip(f"no onnxruntime-web: {error}")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A browser without a window."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on PATH")
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(runtime, tmp_path_factory):
    """A function from a kind of input to its run and to the folder of its page, each made once."""
    home = tmp_path_factory.mktemp("pages")

    @functools.cache
    def made(kind: str) -> tuple[Path, Path]:
        run = finished_run(kind, home)
        return run, demo(run, home / f"{kind}-page")

    return made
