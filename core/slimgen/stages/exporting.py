"""A generator being exported: its files, and what they say of themselves."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from slimgen import __version__, files
from slimgen.export.card import Facts
from slimgen.export.example import RGB, pictured
from slimgen.export.metadata import CARD, UNKNOWN, digest_of, stamped
from slimgen.export.onnx import OnnxFile
from slimgen.files import plain
from slimgen.recipe import Recipe
from slimgen.stages.work import Work
from slimgen.tasks import traits_of

if TYPE_CHECKING:
    from onnx import ModelProto

CHANNELS = {1: "grey", RGB: "RGB", 4: "RGBA"}
"""Order of the channels of pictures, by their number."""
TIMED = ("name", "licence", "latency", "speed", "versions", "variants", "files")
"""Facts of a card that differ between machines, or between names of a run: no digest depends on them."""


@dataclasses.dataclass
class Exporting:
    """An exported generator of one direction.

    Attributes:
        work: the stage.
        suffix: of the direction.
        net: the network.
        samples: inputs on which outputs are compared.
        properties: what each of its files says of itself.
        written: names of the files so far.
    """

    work: Work
    suffix: str
    net: nn.Module
    samples: Tensor
    properties: Mapping[str, str]
    written: list[str] = dataclasses.field(default_factory=list)

    def path(self, name: str) -> Path:
        """Return the file of a variant or edition."""
        return self.work.out / files.of_direction(files.variant_file(name), self.suffix)

    def stamped(self, name: str, model: "ModelProto") -> bytes:
        """Return a variant or edition, serialised, with its properties; its name is remembered."""
        if name not in self.written:
            self.written.append(name)
        return stamped(model, {**self.properties, "variant": name}, __version__)


def properties(
    recipe: Recipe,
    file: OnnxFile,
    genotype: Mapping[str, Any],
    suffix: str,
    licence: str | None,
    origin: Mapping[str, str],
) -> dict[str, str]:
    """Return what an exported file says of itself, by name; see `slimgen.export.metadata`."""
    traits, given, made = traits_of(recipe), file.input[1], file.output[1]
    if not pictured(file):
        takes = f"noise, float32 (batch, {given[1]}), from a normal distribution"
    elif traits.reads is not None and not suffix:
        takes = f"label maps, (batch, channel, height, width): {traits.reads}"
    else:
        takes = f"pictures, (batch, channel, height, width), {_order(given[1])}, float32 in [-1, 1]"
    return {
        "name": f"{recipe.export.model or recipe.name}{suffix}",
        "version": __version__,
        "recipe": recipe.name,
        "method": recipe.method,
        "task": recipe.task,
        "genotype": json.dumps(plain(genotype), sort_keys=True, separators=(",", ":")) if genotype else "",
        "input": takes,
        "output": f"pictures, (batch, channel, height, width), {_order(made[1])}, float32 in [-1, 1]",
        "value_range": "[-1, 1]",
        "channel_order": _order(made[1]),
        "scale": str(recipe.data.scale) if recipe.data.scale > 1 else "",
        "direction": direction_of(recipe, suffix) if traits.directions > 1 or traits.pairs else "",
        "origin": "; ".join(f"{name} {value}" for name, value in origin.items()),
        "licence": licence or "unknown: ask the owners of the training images",
        CARD: UNKNOWN,
    }


def _order(channels: int | str) -> str:
    return CHANNELS.get(int(channels), f"{channels} channels")


def direction_of(recipe: Recipe, suffix: str) -> str:
    """Return the direction of a generator: the recipe's, or the reverse one."""
    given = recipe.data.direction
    return given if not suffix else {"AtoB": "BtoA", "BtoA": "AtoB"}[given]


def seal(exporting: Exporting, facts: Facts) -> None:
    """Write each file again with the digest of its card's facts, which is as long as what stood there before."""
    import onnx

    record = {name: value for name, value in dataclasses.asdict(facts).items() if name not in TIMED}
    record["onnx"]["path"] = facts.onnx.path.name
    exporting.properties = {**exporting.properties, CARD: digest_of(record)}
    for name in exporting.written:
        path = exporting.path(name)
        files.write_bytes(path, exporting.stamped(name, onnx.load(path)))
