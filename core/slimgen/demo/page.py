"""Contents of a page, and its files: what a generator takes, its networks, samples to begin with, and the runtime."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any, Literal

import jinja2
import numpy
from numpy.typing import NDArray

from slimgen import __version__
from slimgen.demo.parts import Script, scripts
from slimgen.demo.runtime import BUILDS, NAME, Runtime
from slimgen.files import plain

SOURCES = (
    "parts.js",
    "engine.js",
    "runtime.js",
    "tensors.js",
    "elements.js",
    "canvas.js",
    "drawing.js",
    "samples.js",
    "pictures.js",
    "camera.js",
    "noise.js",
    "enlarging.js",
    "before-after.js",
    "timing.js",
    "results.js",
    "page.js",
)
"""The page's scripts, in the order in which they need each other."""


@dataclass(frozen=True)
class Model:
    """A network of the page.

    Attributes:
        name: its name, of letters, digits and dashes, unique in its direction.
        title: what the page calls it.
        content: the ONNX file.
        facts: other facts in words, by name.
        tiling: arguments of `slimgen.export.tiled.enlarge`, where pictures pass in windows; None: whole.
        recommended: whether the export recommends it.
    """

    name: str
    title: str
    content: bytes
    facts: Mapping[str, str] = field(default_factory=dict)
    tiling: Mapping[str, Any] | None = None
    recommended: bool = False


@dataclass(frozen=True)
class Named:
    """A colour to draw with, and its name."""

    name: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Direction:
    """One direction of a run, or its only one.

    Attributes:
        name: `forward` or `reverse`.
        title: what the page calls it; empty where there is one.
        given: what a generator takes.
        size: height and width in px that the networks were exported at.
        free: whether they take other heights and widths.
        multiple: height and width must be multiples of this many px.
        channels: channels of their input; of noise, its length.
        scale: how many times larger the output is.
        models: the networks, in the order of the page.
        palette: the colours to draw with: of label maps, of each class in order; of pictures, those that they have;
            empty where one does not draw.
        edges: whether label maps have a channel of instance edges after those of the classes.
        samples: prepared test inputs by name, uint8 (height, width, channels) each.
        targets: the real pictures of the samples, if they have any.
        notes: sentences for the user.
    """

    name: str
    title: str
    given: Literal["images", "label maps", "noise"]
    size: tuple[int, int]
    free: bool
    multiple: int
    channels: int
    scale: int
    models: Sequence[Model]
    palette: Sequence[Named] = ()
    edges: bool = False
    samples: Mapping[str, NDArray[numpy.uint8]] = field(default_factory=dict)
    targets: Sequence[NDArray[numpy.uint8]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """All of a page: the run's name, what it is about, words under its title, directions and the runtime."""

    name: str
    about: str
    tags: Sequence[str]
    licence: str | None
    directions: Sequence[Direction]
    runtime: Runtime


def files(page: Page) -> Iterator[Script]:
    """Yield the files of a page, the large ones one after the other."""
    parts: dict[str, list[str]] = {}

    def part(name: str, content: bytes) -> Iterator[Script]:
        for script in scripts(name, content):
            parts.setdefault(name, []).append(script.file)
            yield script

    for direction in page.directions:
        for model in direction.models:
            yield from part(f"{direction.name}-{model.name}", model.content)
        for kind, pictures in (("samples", [*direction.samples.values()]), ("targets", [*direction.targets])):
            if pictures:
                yield from part(f"{direction.name}-{kind}", b"".join(picture.tobytes() for picture in pictures))
    for build, names in BUILDS.items():
        for kind, name in zip(("interface", "loader", "binary"), names, strict=True):
            yield from part(f"{build}-{kind}", page.runtime.files[name])
    yield Script("config.js", f"demo.config = {json.dumps(_config(page, parts), indent=1)};\n".encode())
    for name in (*SOURCES, "style.css"):
        yield Script(name, source(name))
    yield Script("index.html", _html(page).encode())


def source(name: str) -> bytes:
    """Return a file of the page as it lies in the package."""
    return (resources.files("slimgen.demo") / "web" / name).read_bytes()


def _html(page: Page) -> str:
    text = source("index.html").decode()
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(text)
    runtime = f"{NAME} {page.runtime.version}"
    return template.render(page=page, sources=SOURCES, version=__version__, runtime=runtime)


def _config(page: Page, parts: Mapping[str, Sequence[str]]) -> Any:
    """Return what the page's scripts read, as JSON."""
    return plain({"directions": [_direction(direction) for direction in page.directions], "parts": parts})


def _direction(direction: Direction) -> dict[str, Any]:
    facts = {name: value for name, value in vars(direction).items() if name not in ("models", "samples", "targets")}
    models = [
        {
            "name": model.name,
            "title": model.title,
            "part": f"{direction.name}-{model.name}",
            "bytes": len(model.content),
            "facts": model.facts,
            "tiling": model.tiling,
            "recommended": model.recommended,
        }
        for model in direction.models
    ]
    return {
        **facts,
        "palette": [asdict(one) for one in direction.palette],
        "models": models,
        "samples": _pictures(f"{direction.name}-samples", direction.samples.values(), [*direction.samples]),
        "targets": _pictures(f"{direction.name}-targets", direction.targets, [*direction.samples]),
    }


def _pictures(part: str, pictures: Any, names: Sequence[str]) -> dict[str, Any] | None:
    shapes = [picture.shape for picture in pictures]
    return {"part": part, "names": names, "shapes": shapes} if shapes else None
