"""Drawing of a channel configuration: the width of each layer, from the stem to the last upsampling."""

from collections.abc import Mapping
from pathlib import Path

from slimgen.nets.resnet.description import CHANNELS
from slimgen.recipe import Recipe
from slimgen.report.figures import INK, save, sheet
from slimgen.report.figures import picture_genotype as draw_table
from slimgen.search import Value

LAYERS = (
    ("stem", 1, 1),
    ("halved", 2, 2),
    ("trunk", 4, 4),
    ("first\nblocks", 4, 4),
    ("middle\nblocks", 4, 4),
    ("last\nblocks", 4, 4),
    ("doubled", 2, 2),
    ("doubled", 1, 1),
)
"""For each of c0 .. c7: its label, its channels per unit of c, and the denominator of its share of the image's size."""
COLOURS = {1: "#a5d8ff", 2: "#ffec99", 4: "#b2f2bb"}


def name_genotype(genotype: Mapping[str, Value]) -> str:
    """Return the widths in the authors' notation, `32_32_48 ...`."""
    return "_".join(map(str, genotype.values()))


def picture_genotype(genotype: Mapping[str, Value], path: Path, recipe: Recipe) -> None:
    """Draw a ResNet's layer widths as bars, coloured by the size of their features; other networks as a table."""
    if set(genotype) != set(CHANNELS.names):
        draw_table(genotype, path, recipe)
        return
    from matplotlib.patches import Patch

    widths = [number * layer[1] for number, layer in zip(CHANNELS.config(genotype), LAYERS, strict=True)]
    figure = sheet(7.2, 3.0)
    axes = figure.add_subplot()
    colours = [COLOURS[scale] for _, _, scale in LAYERS]
    bars = axes.bar(range(len(LAYERS)), widths, color=colours, edgecolor="#495057", width=0.72)
    axes.bar_label(bars, padding=2, fontsize=9, color=INK)
    axes.set_xticks(range(len(LAYERS)), [layer[0] for layer in LAYERS], fontsize=8)
    axes.set_ylabel("channels", fontsize=9)
    axes.set_ylim(0, 1.18 * max(widths))
    axes.spines[["top", "right"]].set_visible(False)
    sizes = {1: "full size", 2: "1/2", 4: "1/4"}
    handles = [Patch(facecolor=colour, edgecolor="#495057", label=sizes[scale]) for scale, colour in COLOURS.items()]
    axes.legend(handles=handles, frameon=False, fontsize=8, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.16))
    save(figure, path)
