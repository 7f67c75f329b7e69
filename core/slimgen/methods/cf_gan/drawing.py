"""Drawing of a trellis: its path through the scales, its operators by colour, its widths in channels."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slimgen.methods.cf_gan.options import training_of
from slimgen.nets.cf_gan.space import Shape
from slimgen.recipe import Recipe
from slimgen.report.figures import GREY, INK, PALE, bare_sheet, save
from slimgen.search import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPERATORS = {
    "trellis": {
        "dws": ("#b2f2bb", "depthwise\nseparable"),
        "conv3x3": ("#ffec99", "conv 3x3"),
        "resblock": ("#a5d8ff", "residual"),
    },
    "upscale_trellis": {
        "srb": ("#b2f2bb", "shrink\nresidual"),
        "crb": ("#ffec99", "contextual\nresidual"),
        "grb": ("#a5d8ff", "group\nresidual"),
    },
}
"""The colour and the name of each operator, by the family of the generators."""
STEP, LOWEST = 1.3, 0.4  # between the rows of two scales, and the row of the coarsest scale at the bottom


class Box(NamedTuple):
    """A box on the sheet: its centre and its size."""

    x: float
    y: float
    width: float = 0.92
    height: float = 0.62


def name_genotype(genotype: Mapping[str, Value]) -> str:
    """Return the path, which says most of an architecture."""
    return str(genotype["path"])


def picture_genotype(genotype: Mapping[str, Value], path: Path, recipe: Recipe) -> None:
    """Draw a trellis as the network that it describes (CF-GAN, Figures 4 and 7).

    Rows are scales, and blocks go from left to right, each with its operator, its inner width and, in super-resolution,
    how often it is applied. Arrows upwards are climbs to a larger scale, dashed lines are skips, and the end is on the
    right.
    """
    shape = training_of(recipe).shape
    scales, finer = shape.parse(genotype["path"]), shape.scales[1:]
    rows = {scale: LOWEST + STEP * number for number, scale in enumerate(shape.scales)}
    groups = [_blocks(genotype, group) for group in range(len(scales))]
    columns = sum(len(blocks) for blocks in groups)
    left = 1.2 if shape.family == "upscale_trellis" else 3.4
    right = left + columns + 0.55 * len(scales)
    figure, axes = bare_sheet(1.2 + 0.76 * (right + 1.0 + 1.1 * len(finer)), 1.0 + STEP * len(rows))
    _rows(axes, right + 1.0 + 1.1 * len(finer), rows, shape)

    def width(name: str, scale: int) -> str:
        return f"{shape.channels(genotype[f'channel.{name}'], scale)} ch"

    at, skips = _entry(axes, rows, width, shape)
    last, x = dict[int, Box](), left - 0.1
    for group, (scale, blocks) in enumerate(zip(scales, groups, strict=True)):
        climbing = group > 0 and scale != scales[group - 1]
        x += 0.55 if group else 0.0
        for index, block in enumerate(blocks):
            operator = str(genotype[f"operator.{block}"])
            box = Box(x + 0.6, rows[scale])
            inner = shape.inner(operator, shape.channels(genotype[f"channel.{block}"], scale))
            label = f"{operator}\n{inner} ch" if operator in shape.with_inner else operator
            times = f" \N{MULTIPLICATION SIGN}{genotype[f'recursion.{block}']}" if shape.times else ""
            colours = OPERATORS[shape.family]
            _box(axes, box, label.replace(operator, f"{operator}{times}"), colours.get(operator, (PALE, operator))[0])
            _arrow(axes, at, box)
            if climbing and index == 0:
                _arrow(axes, skips[scale], box, dashed=True)
                note = (at.x + box.x) / 2 - 0.1, (at.y + box.y) / 2
                axes.text(*note, f"climb\n{width(f'g{group}', scale)} ", ha="right", va="center", fontsize=7, color=INK)
            at, x = box, x + 1.0
        last[scale] = at
    before = last[shape.scales[0]]
    for number, (scale, name) in enumerate(zip(finer, shape.ends[1], strict=True)):
        end = Box(right + 0.7 + 1.1 * number, rows[scale])
        _box(axes, end, f"end\n{width(name, scale)}", PALE)
        _arrow(axes, before, end, below=True)
        if scale in last:
            _arrow(axes, last[scale], end)
        before = end
    out = Box(before.x + 1.0, rows[1], 0.7)
    _box(axes, out, "image +\nbicubic" if shape.family == "upscale_trellis" else "image", "white")
    _arrow(axes, before, out)
    save(figure, path)


def _entry(
    axes: "Axes", rows: Mapping[int, float], width: Callable[[str, int], str], shape: Shape
) -> tuple[Box, Mapping[int, Box]]:
    """Draw the stem; return its last box, and those from which climbs to each scale have their skips."""
    if shape.family == "upscale_trellis":
        stem = Box(0.6, rows[shape.scales[0]])
        _box(axes, stem, f"stem\n{width('g0', shape.scales[0])}", PALE)
        return stem, dict.fromkeys(shape.scales, stem)
    stem, half, quarter = Box(0.6, rows[1]), Box(1.7, rows[2]), Box(2.8, rows[4])
    for box, name, label, scale in ((stem, "stem", "stem", 1), (half, "down", "down", 2), (quarter, "g0", "down", 4)):
        _box(axes, box, f"{label}\n{width(name, scale)}", PALE)
    _arrow(axes, stem, half)
    _arrow(axes, half, quarter)
    return quarter, {1: stem, 2: half}


def _blocks(genotype: Mapping[str, Value], group: int) -> list[str]:
    """Return the blocks of a group, in order: g0b0, g0b1 ..."""
    start = f"operator.g{group}b"
    numbers = sorted(int(name[len(start) :]) for name in genotype if name.startswith(start))
    return [f"g{group}b{number}" for number in numbers]


def _rows(axes: "Axes", right: float, rows: Mapping[int, float], shape: Shape) -> None:
    from matplotlib.patches import Rectangle

    for scale, middle in rows.items():
        label = "full size" if scale == 1 else f"1/{scale}"
        if shape.family == "upscale_trellis":
            label = f"\N{MULTIPLICATION SIGN}{shape.name((scale,))}"
        axes.add_patch(
            Rectangle((-0.1, middle - 0.52), right + 0.1, 1.04, facecolor="#f8f9fa", edgecolor="none", zorder=0)
        )
        axes.text(-0.2, middle, label, ha="right", va="center", fontsize=9, color=GREY)
    x = 0.1
    for colour, label in OPERATORS[shape.family].values():
        axes.add_patch(Rectangle((x, -0.72), 0.3, 0.22, facecolor=colour, edgecolor=INK, linewidth=0.7))
        axes.text(x + 0.4, -0.61, label.replace("\n", " "), va="center", fontsize=8, color=INK)
        x += 2.3
    axes.text(x, -0.61, "- -  skip from the stem", va="center", fontsize=8, color=INK)
    axes.set_xlim(-1.1, right + 0.2)
    axes.set_ylim(-0.95, max(rows.values()) + 0.6)


def _box(axes: "Axes", box: Box, text: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner, style = (box.x - box.width / 2, box.y - box.height / 2), "round,pad=0,rounding_size=0.08"
    look: dict[str, Any] = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.9, "zorder": 3}
    axes.add_patch(FancyBboxPatch(corner, box.width, box.height, style, **look))
    axes.text(box.x, box.y, text, ha="center", va="center", fontsize=8, color=INK, zorder=4)


def _arrow(axes: "Axes", start: Box, end: Box, dashed: bool = False, below: bool = False) -> None:
    """Draw an arrow from one box to the left of the next, or to its foot; skips pass above the boxes in between."""
    from matplotlib.patches import FancyArrowPatch

    level = abs(start.y - end.y) < 0.01
    leave = (start.x + start.width / 2, start.y)
    arrive = (end.x, end.y - end.height / 2) if below else (end.x - end.width / 2, end.y)
    curve = "arc3,rad=0"
    if dashed and level:
        leave, arrive = (start.x, start.y + start.height / 2), (end.x, end.y + end.height / 2)
        # The curvature falls with the distance, so that a long skip stays within its row.
        curve = f"arc3,rad={-0.4 / (end.x - start.x)}"
    elif dashed:
        leave = (start.x, start.y + start.height / 2)
    elif not level and start.y > end.y:
        leave = (start.x, start.y - start.height / 2)
    colour, width, line = (GREY, 0.9, (0, (4, 3))) if dashed else (INK, 1.1, "-")
    ends: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0, "zorder": 2}
    look: dict[str, Any] = {"connectionstyle": curve, "color": colour, "linewidth": width, "linestyle": line}
    axes.add_patch(FancyArrowPatch(leave, arrive, **ends, **look))
