"""Pictures of the first layer's filters, with frames around those that stay (Shu et al. 2019, Figure 4)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.co_evolution.layers import Convolution, by_output, convolutions
from slimgen.report.figures import GREY, INK, RED, save, sheet
from slimgen.search import Genotype

SHOWN = 16  # the first filters


class Strip(NamedTuple):
    """A row of the picture: filters (N, C, k, k), None where there is none to show, and which have a frame."""

    title: str
    filters: Sequence[Tensor | None]
    framed: Sequence[bool]


def strips(
    title: str, filters: FilterSpace, masks: Mapping[str, Genotype], tuned: nn.Module | None = None
) -> list[Strip]:
    """Return the rows of one direction: for each way to choose, the original's filters with frames around those kept.

    Args:
        title: of the direction.
        filters: the original and its filters.
        masks: the masks of each way, by its name; the first are those of the found generator.
        tuned: the found generator after fine-tuning, whose filters get a row of their own.
    """
    name, layer = next(convolutions(filters.net))
    shown = by_filter(layer)[:SHOWN]
    found = list[Strip]()
    for way, genotype in masks.items():
        kept = filters.kept(genotype).get(name)
        stay = range(len(by_filter(layer))) if kept is None or kept.outputs is None else kept.outputs.tolist()
        found.append(Strip(f"{title}, {way}", list(shown), [place in set(stay) for place in range(len(shown))]))
        if tuned is not None and len(found) == 1:
            now = dict(zip(stay, by_filter(next(convolutions(tuned))[1]), strict=True))
            after = [now.get(place) for place in range(len(shown))]
            found.append(Strip(f"{title}, fine-tuned", after, [False] * len(shown)))
    return found


def by_filter(layer: Convolution) -> Tensor:
    """Return the filters of a convolution: (N, C, k, k) on the CPU."""
    return by_output(layer).detach().float().cpu().reshape(layer.out_channels, -1, *layer.kernel_size)


def picture_filters(rows: Sequence[Strip], path: Path) -> None:
    """Draw filters as small images, each stretched from its least to its largest weight."""
    count = max(len(row.filters) for row in rows)
    figure = sheet(0.4 * count + 2.4, 0.5 * len(rows) + 0.1)
    axes = figure.subplots(len(rows), count, squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        line[0].set_ylabel(row.title, rotation=0, ha="right", va="center", fontsize=8, color=INK)
        for place, axis in enumerate(line):
            axis.set(xticks=[], yticks=[])
            one = row.filters[place] if place < len(row.filters) else None
            framed = place < len(row.framed) and row.framed[place]
            for spine in axis.spines.values():
                spine.set(color=RED if framed else GREY, linewidth=2.0 if framed else 0.2)
            if one is not None:
                axis.imshow(_stretched(one).numpy(), interpolation="nearest")
    save(figure, path)


def _stretched(one: Tensor) -> Tensor:
    """Return a filter (C, k, k) as RGB (k, k, 3) in [0, 1]; the mean of its channels where these are not colours."""
    picture = one if len(one) == 3 else one.mean(0, keepdim=True).expand(3, -1, -1)
    least, most = torch.aminmax(picture)
    return ((picture - least) / (most - least).clamp(min=1e-12)).permute(1, 2, 0)
