"""Sheets and panels of figures, and an architecture as a table."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from slimgen.errors import SlimgenError
from slimgen.recipe import Recipe
from slimgen.search import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Colours that colour-blind people can tell apart (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A7B00")
INK, GREY, PALE, RED = "#212529", "#868e96", "#f1f3f5", "#c92a2a"


def sheet(width: float, height: float, layout: str | None = "constrained") -> "Figure":
    """Return an empty figure of this size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


def bare_sheet(width: float, height: float) -> "tuple[Figure, Axes]":
    """Return a figure of this size in inches, filled by one panel without a frame."""
    figure = sheet(width, height, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return figure, axes


def panels(titles: Sequence[str], across: int, width: float, height: float) -> "tuple[Figure, list[Axes]]":
    """Return a panel for each title, `across` in a row, each of this size in inches, with steps along the bottom."""
    across = min(across, len(titles))
    down = -(-len(titles) // across)
    figure = sheet(0.6 + width * across, 0.2 + height * down)
    axes = [panel(figure, down, across, place) for place in range(1, len(titles) + 1)]
    for one, title in zip(axes, titles, strict=True):
        one.set_title(title, fontsize=9, color=INK)
        one.tick_params(labelsize=8)
    for lowest in axes[-across:]:
        lowest.set_xlabel("updates", fontsize=8)
    return figure, axes


def panel(figure: "Figure", down: int = 1, across: int = 1, place: int = 1) -> "Axes":
    """Return one panel of a figure, with a grid and without a frame at the top and the right."""
    axes = figure.add_subplot(down, across, place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(color="#e9ecef", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, color=GREY)
    return axes


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name, in the order of first mention."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(dict.fromkeys(names))}


def save(figure: "Figure", file: Path | IO[bytes]) -> None:
    """Write a figure in the format of the path's suffix; into an open file, as PNG.

    Raises:
        SlimgenError: no format has this suffix.
    """
    if isinstance(file, Path) and (ending := file.suffix[1:].lower()) not in figure.canvas.get_supported_filetypes():
        known = ", ".join(sorted(figure.canvas.get_supported_filetypes()))
        raise SlimgenError("a picture's name must end in its format", repr(ending), f"known: {known}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # names may be in scripts that the font lacks
        figure.savefig(file, dpi=150)


def unit_of(kind: str, largest: float) -> tuple[float, str]:
    """Return the divisor of a kind of cost, and the letters of that unit, for the largest value of a chart."""
    if kind == "latency_ms":
        return 1.0, ""
    of_bytes = ((2.0**30, "GiB "), (2.0**20, "MiB "), (2.0**10, "KiB "))
    powers = of_bytes if kind == "bytes" else ((1e9, "G "), (1e6, "M "), (1e3, "k "))
    return next((power for power in powers if largest >= power[0]), (1.0, ""))


LONG = 24  # a mask of more bits is shown as the number of kept ones
TALL = 36  # lines of a column before the table continues in the next


def picture_genotype(genotype: Mapping[str, Value], path: Path, recipe: Recipe | None = None) -> None:
    """Draw names of choices and their values in columns, one shade per group of names; needs no recipe."""
    from matplotlib.patches import Rectangle

    lines = [(name, _shown(value)) for name, value in genotype.items()] or [("(no choices)", "")]
    columns = -(-len(lines) // TALL)
    per_column = -(-len(lines) // columns)
    wide = 0.085 * max(len(name) + len(value) for name, value in lines) + 0.6
    figure, axes = bare_sheet(max(3.0, columns * wide), 0.3 + 0.24 * per_column)
    axes.set_xlim(0, columns * wide)
    axes.set_ylim(per_column + 0.3, -0.3)
    shades: dict[str, str] = {}
    for index, (name, value) in enumerate(lines):
        column, row = divmod(index, per_column)
        shade = shades.setdefault(name.rpartition(".")[0], (PALE, "white")[len(shades) % 2])
        left = column * wide
        axes.add_patch(Rectangle((left + 0.05, row), wide - 0.1, 1, facecolor=shade, edgecolor="none"))
        axes.text(left + 0.15, row + 0.52, name, va="center", fontsize=8, color=GREY)
        axes.text(left + wide - 0.15, row + 0.52, value, va="center", ha="right", fontsize=8, color=INK, weight="bold")
    save(figure, path)


def _shown(value: Value) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text.count('1')} of {len(text)} kept" if len(text) > LONG and set(text) <= {"0", "1"} else text
