"""An architecture as a picture: a table of its choices. A method whose architectures say more draws them itself."""

from collections.abc import Mapping
from pathlib import Path

from slimgen.recipe import Recipe
from slimgen.report.figures import GREY, INK, PALE, bare_sheet, save
from slimgen.search import Value

LONG = 24  # a mask of more bits is shown as how many are kept
TALL = 36  # lines of a table before it goes on in the next column


def picture_genotype(genotype: Mapping[str, Value], path: Path, recipe: Recipe | None = None) -> None:
    """Draws names of choices and their values in columns, a shade for each group of names.

    Args:
        genotype: names of choices to values.
        path: the picture; its ending says the format.
        recipe: of the run; a table says nothing of it.
    """
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
    """A value as text; a long mask as how many of its bits are kept."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text.count('1')} of {len(text)} kept" if len(text) > LONG and set(text) <= {"0", "1"} else text
