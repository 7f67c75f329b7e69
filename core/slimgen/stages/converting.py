"""Conversion of a run's generator to another runtime: what is handed over comes from its stages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slimgen import files
from slimgen.device import choose
from slimgen.errors import RunError
from slimgen.export.converting import Conversion, Target, convert, ready, target_of
from slimgen.export.onnx import export_fixed
from slimgen.export.rewriting.phones import for_phones
from slimgen.methods.method import REVERSE
from slimgen.recipe import Recipe
from slimgen.run.record import read_record, require_whole
from slimgen.size import Size
from slimgen.stages.editions import inputs_of
from slimgen.stages.generators import built, described, finished
from slimgen.stages.label import Label
from slimgen.stages.variants import calibration
from slimgen.stages.work import Work, say

FOLDER = "convert"
"""The folder of all conversions, in a run's folder."""
READ = ("prepare", "finetune", "evaluate")
"""The stages that a conversion reads."""


def convert_run(
    run: Path,
    to: str,
    *,
    python: Path | None = None,
    reverse: bool = False,
    size: Size | None = None,
    runs: int = 50,
) -> Conversion:
    """Convert the generator that a run found, for one image of one size, and compare it with the PyTorch network.

    Args:
        run: the run's folder; `convert/RUNTIME` in it is written.
        to: the runtime, one of `slimgen.export.converting.TARGETS`.
        python: of an environment with the converter's packages; None makes one in the user's cache, if there is none.
        reverse: take the generator of the reverse direction.
        size: of the input; by default the recipe's.
        runs: timed calls of each form.

    Raises:
        SlimgenError: the run is not finished, has no such generator, or cannot be converted.
    """
    target = target_of(to)
    folders = {stage: _whole(run, stage) for stage in READ}
    recipe, suffix = Recipe.parse(read_record(folders["evaluate"])["recipe"]), REVERSE if reverse else ""
    net, samples = _generator(recipe, run, folders, suffix)
    inputs = _of_size(samples, recipe, size)
    shape = (1, *inputs.shape[1:])
    # Before anything is installed: a generator that no graph expresses needs no environment.
    graph = for_phones(onnx.load_from_string(export_fixed(net, shape, recipe.export.opset, rewrite=False)))
    with torch.inference_mode():
        outputs = torch.cat([net(part) for part in torch.split(inputs, 1)])
    environment = ready(target, python, say)
    say(f"converting to {target.title}")
    return convert(
        target,
        environment,
        run / FOLDER / f"{target.name}{suffix}",
        graph=graph.SerializeToString(deterministic=True),
        inputs=inputs.numpy(),
        outputs=outputs.numpy(),
        calibration=_calibration(target, recipe, folders, suffix, shape),
        stem=Path(files.of_direction(files.ONNX, suffix)).stem,
        tolerance=recipe.export.parity,
        threads=recipe.evaluate.threads,
        runs=runs,
    )


def _whole(run: Path, stage: str) -> Path:
    """Return the folder of a finished stage whose files are those that it wrote."""
    folder = run / stage
    if not read_record(folder).get("finished"):
        hint = "run the recipe to the end first" if run.is_dir() else "check the path"
        raise RunError(f"a run must be finished to be converted: {stage} of {run} is not", None, hint)
    require_whole(folder)
    return folder


def _generator(recipe: Recipe, run: Path, folders: Mapping[str, Path], suffix: str) -> tuple[nn.Module, Tensor]:
    """Return the found generator of a direction, and the inputs on which `export` compares it."""
    generators = described(recipe, folders["finetune"])
    name = f"{finished(generators)}{suffix}"
    if name not in generators:
        raise RunError(f"{run} must have a generator of the reverse direction", "none", "leave out --reverse")
    about = generators[name]
    with np.load(folders["evaluate"] / files.SAMPLES) as arrays:
        samples = torch.from_numpy(arrays[f"input{suffix}"]).float()
    return built(about, folders["finetune"] / about["file"]), samples


def _of_size(samples: Tensor, recipe: Recipe, size: Size | None) -> Tensor:
    if size is None or size == recipe.size:
        return samples.contiguous()
    if samples.dim() == 2:
        rule = f"a generator from noise makes images of {recipe.size} px alone"
        raise RunError(rule, f"--size {size}", "leave out --size")
    return inputs_of(samples, (*samples.shape[:2], *size))


def _calibration(
    target: Target, recipe: Recipe, folders: Mapping[str, Path], suffix: str, shape: Sequence[int]
) -> list[NDArray[Any]]:
    """Return training inputs of a shape, where the target makes 8-bit integers of them."""
    if not target.calibrates:
        return []
    compute = choose(recipe.compute.precision, recipe.compute.device, recipe.compute.threads)
    out, label = folders["evaluate"], Label(recipe.name, None)
    work = Work(recipe, folders, out, compute, lambda *_: None, "", out, label)
    found = calibration(work, suffix)
    return [inputs_of(torch.from_numpy(one), shape).numpy() for one in found]
