"""A page in a real browser, as tests use it: what it was given, what it returned, and what it said on the way."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

QUIET = 60_000
"""Milliseconds after which a page that still computes is taken for broken."""
READ = "([data, dims]) => [Array.from(data), dims]"


class Opened:
    """A page that has computed its first result."""

    def __init__(self, browser: Any, address: str, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.ready()

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def ready(self) -> None:
        """Wait until nothing is computed."""
        self.page.locator('body[data-busy="false"]').wait_for(timeout=QUIET)

    def given(self, place: int = 0) -> NDArray[np.float32]:
        """The tensor that the networks were given."""
        return self._tensor(f"demo.input.tensors[{place}]")

    def made(self, model: str, place: int = 0) -> NDArray[np.float32]:
        """The tensor that a network returned."""
        return self._tensor(f"demo.outputs.get({json.dumps(model)})[{place}]")

    def _tensor(self, expression: str) -> NDArray[np.float32]:
        data, dims = self.page.evaluate(f"[Array.from({expression}.data), {expression}.dims]")
        return np.array(data, np.float32).reshape(dims)

    def models(self) -> list[str]:
        """Names of the networks that were run."""
        return list(self.page.evaluate("[...demo.outputs.keys()]"))

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def part(folder: Path, name: str) -> bytes:
    """The bytes of a part, read from the scripts of a page's folder as its own script reads them."""
    pieces = sorted((folder / "parts").glob(f"{name}-*.js"), key=lambda path: int(path.stem.rpartition("-")[2]))
    text = "".join(json.loads(re.search(r'", \d+, (".*")\);', path.read_text())[1]) for path in pieces)
    return gzip.decompress(base64.b64decode(text))


def expected(content: bytes, given: NDArray[np.float32]) -> NDArray[np.float32]:
    """What onnxruntime in Python returns for a tensor."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: given})[0]
