"""Seconds of a step of CF-GAN's supernet on this CPU, with and without shared features; see `benchmarks.hours`."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from slimgen import stages
from slimgen.data.batches import Pair
from slimgen.recipe import Recipe
from slimgen.tasks.guidance import Guidance
from slimgen.tasks.translation import Translation
from slimgen.training import fit
from slimgen.training.fit import Memo
from slimgen.training.losses import perceptual
from townhouses import write

CYCLE = 4  # steps, one for each path
VARIANTS = {
    "one picture, features of the real one for each architecture": (False, 1),
    "one picture": (True, 1),
    "two pictures": (True, 2),
}
"""Name to whether a batch's architectures share the real pictures' features, and to the pictures per step."""


def seconds(preset: Recipe, folder: Path, turns: int) -> dict[str, dict[str, float]]:
    """Measure the median seconds of each variant's step, over whole cycles of paths, in turns."""
    write(folder / "images", seed=0, train=preset.data.validation + 2, test=1, size=preset.size.height)
    before = {"prepare": folder / "prepare", "teach": folder / "teach"}
    stages.prepare(preset, data=folder / "images", out=before["prepare"])
    stages.teach(preset, prepare=before["prepare"], out=before["teach"])
    took: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(turns):
        for number, (name, (held, batch)) in enumerate(VARIANTS.items()):
            recipe = preset.override(["supernet.epochs=null", f"supernet.updates={CYCLE}", f"supernet.batch={batch}"])
            with features(held), stopwatch() as watch:
                stages.supernet(recipe, **before, out=folder / f"step-{turn}-{number}")
            took[name].append(sum(watch) / CYCLE)
            print(f"turn {turn + 1} of {turns}, {name}: {took[name][-1]:.2f} s a step", flush=True)
    middle = {name: median(values) for name, values in took.items()}
    return {
        name: {"pictures": batch, "seconds": middle[name], "seconds a picture": middle[name] / batch}
        for name, (_, batch) in VARIANTS.items()
    }


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Record the seconds of every phase of every step."""
    took, step = list[float](), fit._step

    def timed(*given: Any) -> None:
        started = time.perf_counter()
        step(*given)
        took.append(time.perf_counter() - started)

    fit._step = timed
    try:
        yield took
    finally:
        fit._step = step


@contextmanager
def features(held: bool) -> Iterator[None]:
    """Keep the real pictures' features for a batch, as slimgen does, or compute them for every comparison."""
    guidance = Translation.guidance

    def anew(task: Translation, discriminator: nn.Module | None) -> Guidance:
        weight = task.recipe.losses.perceptual
        if not weight or discriminator is None:
            return Guidance()
        seen = discriminator.eval().requires_grad_(False).features

        def term(batch: Pair, fake: Tensor, memo: Memo) -> dict[str, Tensor]:
            with torch.no_grad():
                wanted = seen(task.shown(batch.input, batch.target))
            return {"perceptual": weight * perceptual(seen, task.shown(batch.input, fake), wanted)}

        return Guidance((term,))

    if not held:
        Translation.guidance = anew  # type: ignore[method-assign]
    try:
        yield
    finally:
        Translation.guidance = guidance  # type: ignore[method-assign]


def lines(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return a Markdown table."""
    heads = ["supernet step on", "operator calls", "calls per image", "s per step", "s per image"]
    text = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for name, row in found.items():
        figures = [f"{row['calls']:,.0f}", f"{row['calls'] / row['pictures']:,.0f}"]
        figures += [f"{row[key]:.2f}" if key in row else "" for key in ("seconds", "seconds a picture")]
        text.append(f"| {name} | {' | '.join(figures)} |")
    return text
