"""What the page of a run holds: its networks as ONNX, samples and colours to begin with, and facts about each."""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
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
from slimgen.export.onnx import export_onnx, parity
from slimgen.export.tiling import tiling
from slimgen.recipe import Recipe
from slimgen.report.words import number, title
from slimgen.report.words import size as filesize
from slimgen.run.record import Record, name_of
from slimgen.stages.generators import built, described
from slimgen.tasks import open_task, suited
from slimgen.tasks.embedded import LICENCE
from slimgen.tasks.task import Task
from slimgen.tasks.traits import IMAGES, LABEL_MAPS, NOISE
from slimgen.text import amount

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
        card, given = _card(self._exported("card.json", suffix)), self.task.traits.given
        inputs = self._inputs(suffix) if given != NOISE else []
        kind = IMAGES if suffix else given  # the other way, what was made of label maps is given
        found, skipped = self._found(suffix, card)
        original, free, multiple = self._original(suffix, card)
        names, samples, targets = self._samples(suffix, inputs)
        return pages.Direction(
            name=DIRECTIONS[suffix],
            title=_titled(card) if several else "",
            given=kind,
            size=(card["onnx"]["height"], card["onnx"]["width"]),
            free=free,
            multiple=multiple,
            channels=int(card["onnx"]["input"][1][1]),
            made=self._made,
            scale=self.recipe.data.scale,
            models=[*original, *found],
            palette=[] if kind == NOISE else self._palette(kind, samples),
            edges=kind == LABEL_MAPS and samples[0].shape[-1] > 1,
            samples=dict(zip(names, samples, strict=True)),
            targets=targets,
            notes=skipped,
        )

    @property
    def _made(self) -> int:
        return self.task.shapes(self.data).wanted[0]

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
            return [
                pages.Named(names[place] if classes == len(names) else f"class {place}", _rgb(colour))
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

    def _original(self, suffix: str, card: Mapping[str, Any]) -> tuple[list[pages.Model], bool, int]:
        """Return the original, if there is one; whether all networks take any size, and of which multiples."""
        onnx_file = card["onnx"]
        free, multiple = {"height", "width"} <= set(onnx_file["dynamic"]), int(onnx_file.get("multiple", 1))
        teach, name = self.run / "teach", f"original{suffix}"
        about = described(self.recipe, self.run / "finetune", teach).get(name)
        if about is None:
            return [], free, multiple
        self.say(f"exporting the {name.replace('_', ' of the ')}{' direction' * bool(suffix)}")
        net, samples = built(about, teach / about["file"]), self._parity_samples(suffix)
        latent = samples.shape[1] if samples.dim() == 2 else None
        channels = samples.shape[1] if latent is None else RGB
        with tempfile.TemporaryDirectory() as folder:
            path, options = Path(folder) / files.ONNX, self.recipe.export
            made = export_onnx(
                net,
                path,
                **self.recipe.size._asdict(),
                channels=channels,
                latent=latent,
                opset=options.opset,
                dynamic=options.dynamic,
            )
            parity(net, path, samples)
            scale = self.recipe.data.scale
            windows = asdict(tiling(made, scale)) if scale > 1 else None
            content = path.read_bytes()
        facts = _facts(len(content), card.get("original_cost", {}), card.get("quality", {}).get(name, {}))
        free = free and {"height", "width"} <= set(made.dynamic)
        return [pages.Model("original", "original", content, facts, windows)], free, math.lcm(multiple, made.multiple)

    def _parity_samples(self, suffix: str) -> Tensor:
        samples: Tensor = self._test.target[:2] if suffix else self.task.samples(self._test, 2)
        return samples.float()

    def _found(self, suffix: str, card: Mapping[str, Any]) -> tuple[list[pages.Model], list[str]]:
        """Return the exported variants, and a sentence for each that a page cannot run."""
        row = str(card.get("row", "found"))
        quality = card.get("quality", {}).get(row, {})
        variants = card.get("variants") or [{"name": "fp32", "file": card["onnx"]["path"], "quality": quality}]
        models, skipped = [], []
        for variant in variants:
            name, path = str(variant["name"]), self.run / "export" / Path(str(variant["file"])).name
            if path.name not in self.record["outputs"] or not path.is_file():
                skipped.append(f"The variant {name} is left out, because {path.name} is not among the export's files.")
                continue
            content = path.read_bytes()
            if not _float32(content):
                skipped.append(f"The variant {name} is left out, because it takes or returns no float32.")
                continue
            facts = _facts(len(content), card.get("cost", {}), variant.get("quality") or {})
            shown = row.removesuffix(files.REVERSE)
            called = f"{shown}, {name}" if len(variants) > 1 else shown
            models.append(
                pages.Model(name, called, content, facts, card.get("tiles"), bool(variant.get("recommended")))
            )
        return models, skipped


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


def _card(path: Path) -> Mapping[str, Any]:
    """Return the content of a card; raise RunError if it is missing or lacks what a page needs."""
    card = files.read_json(path)
    shape = card.get("onnx", {}) if isinstance(card, dict) else {}
    if not isinstance(card, dict) or not {"path", "height", "width", "dynamic", "input"} <= set(shape):
        raise RunError(f"{path} must hold the facts of the card", "a damaged one", "run slimgen export again")
    return card


def _titled(card: Mapping[str, Any]) -> str:
    return str(card.get("data", {}).get("direction", "")).replace("to", " to ")


def _facts(size: int, cost: Mapping[str, Any], quality: Mapping[str, float]) -> dict[str, str]:
    """Return what is known of a network, in words: its file, its costs, and what was measured of it."""
    found = {"file": filesize(size)}
    if "params" in cost:
        found["parameters"] = amount(cost["params"])
    if "macs (exact)" in cost:
        found["MACs"] = amount(cost["macs (exact)"])
    return found | {title(metric): number(value) for metric, value in quality.items()}


def _float32(content: bytes) -> bool:
    """Return whether a file takes and returns float32."""
    graph = onnx.load_model_from_string(content).graph
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    return types == {onnx.TensorProto.FLOAT}


def _levels(picture: Tensor) -> Picture:
    """Return a picture (1, C, H, W) in [-1, 1] as uint8 (H, W, C)."""
    levels: Picture = ((picture[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    return np.ascontiguousarray(levels)


def _rgb(colour: Sequence[int]) -> Colour:
    red, green, blue = colour if len(colour) == RGB else [colour[0]] * RGB
    return red, green, blue
