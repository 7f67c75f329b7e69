"""The generators of the trellis in pieces whose latencies add up, including branches and sums."""

from collections.abc import Mapping
from functools import partial

from torch import nn

from slimgen.nets.cf_gan.layers import build
from slimgen.nets.cf_gan.space import WITH_INNER, Layer, Shape, channels_of
from slimgen.nets.functional import ReflectionPad2d
from slimgen.nets.initial import initialise
from slimgen.nets.pieces import Piece, Twice
from slimgen.search.genotype import Value


def pieces_of(shape: Shape, genotype: Mapping[str, Value], height: int, width: int) -> list[Piece]:
    """Return the pieces of a genotype's generator for images of this size, in order; equal layers give equal pieces.

    A climb gives two pieces: its skip, and its body with the sum. So does an end that a trunk joins.
    """
    channels, found = channels_of(shape, genotype), []
    every = shape.layers(genotype["path"])
    joined = {layer.writes for layer in every if layer.kind == "join"}
    for layer in every:
        kind, part = layer.kind_in(genotype), layer.part
        before = {"down": part // 2, "climb": 2 * part, "end": 2 * part}.get(layer.kind, part)
        names = {"climb": ("grow and add", "1x1"), "join": ("1x1",)}
        names["end"] = ("grow and add" if layer.writes in joined else "grow",)
        for name in names.get(layer.kind, (kind,)):
            skip = layer.kind == "climb" and name == "1x1"
            entering, at = (layer.beside, part) if skip else (layer.reads, before)
            size = (1, channels[entering], height // at, width // at)
            inner = f"{channels[layer.beside]} " if kind in WITH_INNER else ""
            key = f"trellis {name} {inner}{channels[layer.writes]} of {'x'.join(map(str, size))}"
            found.append(Piece(key, partial(_built, shape, layer, kind, channels, name), size))
    return found


def _built(shape: Shape, layer: Layer, kind: str, channels: Mapping[str, int], name: str) -> nn.Module:
    """Build the module of a piece with drawn weights, in evaluation mode."""
    rows = layer.rows(shape, kind, channels)
    if layer.kind == "climb":
        rows = rows[1:] if name == "1x1" else rows[:1]
    parts: list[nn.Module] = [ReflectionPad2d(3)] if "reflect" in rows[0].before else []
    parts += [nn.Upsample(scale_factor=2.0, mode="nearest")] if name.startswith("grow") else []
    parts.append(build(rows))
    parts += [Twice()] if name.endswith("add") else []
    parts += [nn.Tanh()] if layer.kind == "output" else []
    return initialise(nn.Sequential(*parts), 0).eval()
