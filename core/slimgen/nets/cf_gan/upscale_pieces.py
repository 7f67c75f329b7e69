"""The generators of the trellis for super-resolution in pieces whose latencies add up."""

from collections.abc import Mapping
from functools import partial

from torch import nn

from slimgen.cost.rows import Row
from slimgen.nets.cf_gan.layers import build
from slimgen.nets.cf_gan.space import channels_of
from slimgen.nets.cf_gan.upscale_layers import factor_in
from slimgen.nets.cf_gan.upscale_space import UpscaleShape
from slimgen.nets.initial import GLOROT, initialise
from slimgen.nets.pieces import Piece, Twice
from slimgen.search.genotype import Value


class _Drawn(nn.Sequential):
    """A piece whose weights are drawn as those of the generator are."""

    initial = GLOROT


def upscale_pieces(shape: UpscaleShape, genotype: Mapping[str, Value], height: int, width: int) -> list[Piece]:
    """Return the pieces of a genotype's generator for input images of this size, in order.

    A climb gives two pieces: its body with the sum, and its skip. So does an end that a trunk joins. The last piece is
    the enlarged input with the last sum.
    """
    channels, found = channels_of(shape, genotype), []
    every = shape.layers(genotype["path"])
    joined = {layer.writes for layer in every if layer.kind == "join"}

    def piece(
        key: str, rows: tuple[Row, ...], entering: str, factor: int, times: int = 1, *, add: bool = False
    ) -> None:
        size = (1, channels[entering], factor * height, factor * width)
        name = f"{shape.family} {'add ' if add else ''}{key} of {'x'.join(map(str, size))}"
        found.append(Piece(name, partial(_built, rows, times, add), size))

    for layer in every:
        kind, times = layer.kind_in(genotype), layer.times_in(genotype)
        rows, factor = layer.rows(shape, kind, channels), shape.scale // layer.part
        before, width_of = factor // factor_in(rows[0].before), channels[layer.writes]
        if layer.kind == "block":
            inner = channels[layer.beside]
            piece(f"{kind} {inner} {width_of} x{times}", rows, layer.reads, factor, times)
        elif layer.kind == "climb":
            piece(f"grown {width_of}", rows[:1], layer.reads, before, add=True)
            piece(f"lifted {width_of} x{factor}", rows[1:], layer.beside, 1)
        elif layer.kind == "end":
            piece(f"grown {width_of}", rows, layer.reads, before, add=layer.writes in joined)
        else:
            piece(f"{layer.kind} {width_of}", rows, layer.reads, factor)
    size = (1, shape.inputs, height, width)
    base = Piece(f"{shape.family} base x{shape.scale} of {'x'.join(map(str, size))}", partial(_base, shape.scale), size)
    return [*found, base]


def _built(rows: tuple[Row, ...], times: int, add: bool) -> nn.Module:
    """Build the module of a piece with drawn weights, in evaluation mode."""
    # A climb's rows are built one by one, each a convolution alone.
    alone = tuple(row._replace(name="convolution") for row in rows) if rows[0].name == "climb" else rows
    parts: list[nn.Module] = [build(alone, times=times)]
    if (grow := factor_in(rows[0].before)) > 1:
        parts.insert(0, nn.Upsample(scale_factor=float(grow), mode="nearest"))
    if rows[0].name == "climb" and (lift := factor_in(rows[0].after)) > 1:
        parts.append(nn.Upsample(scale_factor=float(lift), mode="nearest"))
    return initialise(_Drawn(*parts, *([Twice()] if add else [])), 0).eval()


def _base(scale: int) -> nn.Module:
    """Build the enlargement of the input with the sum, in evaluation mode."""
    return nn.Sequential(nn.Upsample(scale_factor=float(scale), mode="bicubic", align_corners=False), Twice()).eval()
