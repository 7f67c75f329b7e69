"""What the page of a run holds: its networks as ONNX, samples and colours to begin with, and facts about each."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slimgen import files
from slimgen.data.batches import Pair
from slimgen.data.pictures import batches_of
from slimgen.data.prepared import Prepared
from slimgen.demo import page as pages
from slimgen.demo.palette import Colour, palette
from slimgen.demo.runtime import Runtime
from slimgen.device import choose
from slimgen.errors import RunError
from slimgen.recipe import Recipe
from slimgen.run.record import Record, name_of
from slimgen.stages.demo_networks import original, read_card, sizes, variants
from slimgen.stages.generators import built, described
from slimgen.tasks import open_task, suited
from slimgen.tasks.embedded import LICENCE
from slimgen.tasks.task import Task
from slimgen.tasks.traits import IMAGES, LABEL_MAPS, NOISE

SAMPLES, PIXELS = 12, 4_000_000
"""Most samples of a direction, and most pixels of them and their targets together, though at least one sample."""
DIRECTIONS = {"": "forward", files.REVERSE: "reverse"}
RGB = 3
Picture = NDArray[np.uint8]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Contents:
    """A finished run, read for its page.

    Attributes:
        run: its folder.
        record: the record of its export.
        say: prints a line for the user.
    """

    run: Path
    record: Record
    say: Say

    def page(self, runtime: Runtime) -> pages.Page:
        """Return the contents of the page.

        Raises:
            RunError: the card is damaged, or the task makes its inputs in a way that the page does not know.
            ExportError: the original cannot be expressed in ONNX.
        """
        there = [suffix for suffix in DIRECTIONS if self._exported(files.ONNX, suffix).is_file()]
        return pages.Page(
            name=name_of(self.run / "export"),
            about=self.recipe.about,
            tags=[self.recipe.method, self.recipe.task, f"{self.recipe.size} pixels"],
            licence=self._licence,
            directions=[self._direction(suffix, len(there) > 1) for suffix in there],
            runtime=runtime,
        )

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the export, with networks for the channels of the prepared images."""
        parsed = Recipe.parse(str(self.record["recipe"]), where=f"the recipe of {self.run / 'export'}")
        return suited(parsed, {"prepare": self.run / "prepare"})

    @cached_property
    def task(self) -> Task:
        """The recipe's task, with no more test images than there are samples."""
        few = self.recipe.evaluate.model_copy(update={"images": SAMPLES})
        return open_task(self.recipe.model_copy(update={"evaluate": few}), choose("fp32", "cpu"))

    @cached_property
    def data(self) -> Prepared:
        """The prepared images."""
        return Prepared.open(self.run / "prepare")

    @cached_property
    def _test(self) -> Any:
        return self.task.test(self.data)

    @property
    def _licence(self) -> str | None:
        return self.record.get("label", {}).get("licence")

    def _exported(self, file: str, suffix: str) -> Path:
        return self.run / "export" / files.of_direction(file, suffix)

    def _direction(self, suffix: str, several: bool) -> pages.Direction:
        """Return the contents of one direction."""
        card, given = read_card(self._exported("card.json", suffix)), self.task.traits.given
        inputs = self._inputs(suffix) if given != NOISE else []
        kind = IMAGES if suffix else given  # the other way, what was made of label maps is given
        found, skipped = variants(self.run / "export", self.record, card)
        about = described(self.recipe, self.run / "finetune", self.run / "teach").get(f"original{suffix}")
        models, free, multiple = found, *sizes(card)
        if about is not None:
            self.say(f"exporting the original{' of the reverse direction' * bool(suffix)}")
            net = built(about, self.run / "teach" / about["file"])
            first, file = original(net, self.recipe, self._parity_samples(suffix), card, f"original{suffix}")
            models = [first, *found]
            free, multiple = free and {"height", "width"} <= set(file.dynamic), math.lcm(multiple, file.multiple)
        names, samples, targets = self._samples(suffix, inputs)
        return pages.Direction(
            name=DIRECTIONS[suffix],
            title=_titled(card) if several else "",
            given=kind,
            size=(card["onnx"]["height"], card["onnx"]["width"]),
            free=free,
            multiple=multiple,
            channels=int(card["onnx"]["input"][1][1]),
            scale=self.recipe.data.scale,
            models=models,
            palette=[] if kind == NOISE else self._palette(kind, samples),
            edges=kind == LABEL_MAPS and samples[0].shape[-1] > 1,
            samples=dict(zip(names, samples, strict=True)),
            targets=targets,
            notes=[*skipped, *self._notes("target" if suffix else "input")],
        )

    def _notes(self, side: str) -> list[str]:
        """Return a sentence about prepared pictures of more than 8 bits."""
        ranges = self.data.manifest.ranges or {}
        if side not in ranges:
            return []
        low, high = ranges[side]
        return [
            f"Prepared pictures had more than 8 bits: {low:g} became 0, and {high:g} 255. Yours are taken as they are."
        ]

    def _inputs(self, suffix: str) -> list[Tensor]:
        """Return the prepared inputs of the first test images, (1, C, H, W) in [-1, 1] each.

        Raises:
            RunError: the task makes a generator's input of them in another way than the page does.
        """
        images = self._test.target if suffix else self._test.input
        inputs = [one for one, _ in zip(batches_of(images, 1), range(SAMPLES), strict=False)]
        if not suffix:
            given = self.task.condition(inputs[0])
            known = one_hot(inputs[0], given.shape[1]) if self.task.traits.given == LABEL_MAPS else inputs[0]
            if given.shape != known.shape or not torch.equal(given.cpu(), known):
                rule = "the page must know how a generator's input is made of a test image"
                got = f"the task {self.recipe.task}, which makes it in its own way"
                raise RunError(rule, got, "use the exported file from your own code")
        return inputs

    def _samples(self, suffix: str, inputs: Sequence[Tensor]) -> tuple[list[str], list[Picture], list[Picture]]:
        """Return names and pixels of samples, and of the real pictures if each has one."""
        if not inputs:
            return [], [], []
        split = self.data.split("test")
        paired = (split.coupled or split.paired) and not (self.task.traits.single and self.recipe.data.scale == 1)
        sides = [self._test.input, self._test.target][:: -1 if suffix else 1]
        real = [one for one, _ in zip(batches_of(sides[1], 1), inputs, strict=False)] if paired else []
        rows = (split.target_names if suffix else None) or split.names
        names: list[str] = []
        samples: list[Picture] = []
        targets: list[Picture] = []
        pixels = 0
        for place, one in enumerate(inputs):
            pair = [one, *real[place : place + 1]]
            pixels += sum(picture.shape[-2] * picture.shape[-1] for picture in pair)
            if samples and pixels > PIXELS:
                break
            names.append(f"{place + 1}. {Path(rows[place]).name}")
            samples.append(_levels(one))
            targets += [_levels(picture) for picture in pair[1:]]
        return names, samples, targets

    def _palette(self, kind: str, samples: Sequence[Picture]) -> list[pages.Named]:
        """Return the colours to draw with: of each class, or those of pictures that were drawn with a few."""
        if kind == LABEL_MAPS:
            planes = samples[0].shape[-1]
            classes = self.task.shapes(self.data).given[0] - (planes - 1)
            ids = torch.arange(classes).float().mul(2 / 255).sub(1).reshape(1, 1, 1, classes)
            row = torch.cat([ids, *[torch.full_like(ids, -1)] * (planes - 1)], 1)
            [shown] = self.task.columns(Pair(row, row), 1, False).values()
            colours = [(*map(int, colour),) for colour in _levels(shown)[0]]
            names = [*self._names.values()]
            unknown = classes - 1 if self.recipe.data.unknown else classes
            return [
                pages.Named(
                    names[place] if classes == len(names) else "unknown" if place == unknown else f"class {place}",
                    _rgb(colour),
                )
                for place, colour in enumerate(colours)
            ]
        if self.recipe.data.scale > 1 or samples[0].shape[-1] not in (1, RGB):
            return []
        found = palette([np.broadcast_to(sample, (*sample.shape[:2], RGB)) for sample in samples])
        return [pages.Named(self._names.get(colour, f"#{bytes(colour).hex()}"), colour) for colour in found]

    @cached_property
    def _names(self) -> dict[Colour, str]:
        """Names of the embedded set's classes by colour; empty for other images."""
        if self._licence != LICENCE:  # which only pictures have that slimgen drew
            return {}
        from townhouses.classes import CLASSES

        return {colour: name.replace("_", " ") for name, colour in CLASSES.items()}

    def _parity_samples(self, suffix: str) -> Tensor:
        samples: Tensor = self._test.target[:2] if suffix else self.task.samples(self._test, 2)
        return samples.float()


def one_hot(inputs: Tensor, channels: int) -> Tensor:
    """Return a generator's input for prepared label maps as the page makes it: a channel for each class, then edges.

    Args:
        inputs: (N, 1, H, W), or (N, 2, H, W) with edges, mapped from 0 .. 255 to [-1, 1].
        channels: of the result, those of the edges included.
    """
    levels = ((inputs + 1) * 127.5).round().long()
    classes = channels - (levels.shape[1] - 1)
    hot = torch.nn.functional.one_hot(levels[:, 0].clamp(max=classes - 1), classes).permute(0, 3, 1, 2).float()
    return torch.cat([hot, (levels[:, 1:] > 127).float()], 1)


def _titled(card: Mapping[str, Any]) -> str:
    return str(card.get("data", {}).get("direction", "")).replace("to", " to ")


def _levels(picture: Tensor) -> Picture:
    """Return a picture (1, C, H, W) in [-1, 1] as uint8 (H, W, C)."""
    levels: Picture = ((picture[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    return np.ascontiguousarray(levels)


def _rgb(colour: Sequence[int]) -> Colour:
    red, green, blue = colour if len(colour) == RGB else [colour[0]] * RGB
    return red, green, blue
