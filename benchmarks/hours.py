"""An estimate of how long a CF-GAN preset takes on a large GPU, from its MACs and its steps' operator calls.

    python -m benchmarks.hours cf_gan-edges2shoes --images 47777 [--set KEY=VALUE ...]

An H200 reaches 989 dense bf16 TFLOP/s; training of such networks is assumed to reach a quarter of that. A small batch
is limited by the calls instead, which take 10 microseconds each on the host. For each training the longer of both times
counts. The MACs of a step are 3 x (generator + 3 x discriminator) for every picture and architecture. Calls are counted
here, in steps at 32 px, since their number depends neither on the size nor on the batch.

--time also measures the seconds of a supernet's step at the preset's size on one core of this CPU, and of the same step
with real pictures' features computed for each architecture instead of once per batch. A feature network whose file is
missing is replaced by the original's discriminator.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.results import save
from benchmarks.step import VARIANTS, features, lines, seconds
from slimgen import recipe, stages
from slimgen.methods.cf_gan.options import SupernetOptions, options_of
from slimgen.nets import discriminator_cost, generator_cost
from slimgen.nets.cf_gan.space import OPERATORS, trellis_cost, trellis_space
from slimgen.recipe import Recipe, section
from townhouses import write

PEAK, SHARE, CALL = 989e12 / 2, 0.25, 10e-6  # MACs per second, the share of them that is reached, seconds per call
SMALL = ["size=32", "data.load=null", "data.validation=4", "compute={device: cpu, precision: fp32, threads: 1}"]
SMALL += ["objective.metric=psnr", "evaluate.metrics=[psnr]", "losses.perceptual_network=discriminator"]
SMALL += ["search={population: 2, elite: 1, evaluations: 4, operator_share: 0.5}", "finetune.rivals=[]"]


class Calls(TorchDispatchMode):
    """A counter of operator calls, including those of backward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="cf_gan-edges2shoes")
    parser.add_argument("--images", type=int, default=47_777, help="training images")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--time", action="store_true", help="also time a supernet step on this CPU; takes minutes")
    parser.add_argument("--turns", type=int, default=3, help="cycles of each variant for --time")
    arguments = parser.parse_args()
    preset = recipe.load(arguments.recipe).override(arguments.settings)
    with tempfile.TemporaryDirectory() as folder:
        calls = counted(preset, Path(folder))
        step = beside(preset, Path(folder), calls, arguments.turns) if arguments.time else None
    found = {"recipe": preset.name, "images": arguments.images, "settings": arguments.settings}
    trainings = worked_out(preset, arguments.images, calls)
    found |= {"trainings": trainings, "hours": sum(row["hours"] for row in trainings.values())}
    found["step"] = step
    save(f"hours-{preset.name}", found)
    for name, row in trainings.items():
        print(f"{name}: " + ", ".join(f"{key} {value:,.4g}" for key, value in row.items()))
    print(f"{found['hours']:.1f} hours in all")
    if step is not None:
        print("\n".join(lines(step)))


def counted(preset: Recipe, folder: Path) -> dict[str, float]:
    """Return the operator calls per update of each training."""
    small = preset.override(SMALL)
    write(folder / "images", seed=0, train=40, test=2, size=32)
    stages.prepare(small, data=folder / "images", out=folder / "prepare")
    found, before = {}, {"prepare": folder / "prepare"}
    for stage, run in (("teach", stages.teach), ("supernet", stages.supernet), ("finetune", stages.finetune)):
        found[stage] = per_update(small, stage, run, before, folder)
        before[stage] = folder / f"{stage}-8"
        if stage == "supernet":
            budget = small.override(["budget={macs: 1/8}"])
            stages.search(budget, **before, out=folder / "search")
            before["search"] = folder / "search"
    return found


def per_update(small: Recipe, stage: str, run: Callable[..., Any], before: dict[str, Path], folder: Path) -> float:
    """Return the calls per update, from the difference that four more updates make."""
    counts = {}
    for updates in (4, 8):
        chosen = small.override([f"{stage}.epochs=null", f"{stage}.updates={updates}", "budget={macs: 1/8}"])
        with Calls() as calls:
            run(chosen, **before, out=folder / f"{stage}-{updates}")
        counts[updates] = calls.count
    return (counts[8] - counts[4]) / 4


def beside(preset: Recipe, folder: Path, calls: dict[str, float], turns: int) -> dict[str, dict[str, float]]:
    """Return calls and seconds of each variant of the supernet's step at the preset's size, and its batch's calls."""
    with features(held=False):
        before = per_update(preset.override(SMALL), "supernet", stages.supernet, _taught(folder), folder / "anew")
    large = preset.override(
        [*SMALL, f"size={preset.size.plain}", "teach.epochs=null", "teach.updates=1", "teach.batch=1"]
    )
    found = seconds(large, folder / "large", turns)
    for name, (held, _) in VARIANTS.items():
        found[name]["calls"] = calls["supernet"] if held else before
    batch = section(SupernetOptions, preset.supernet, "supernet").batch
    found[f"{batch} pictures, as the preset says, not timed"] = {"pictures": batch, "calls": calls["supernet"]}
    return found


def _taught(folder: Path) -> dict[str, Path]:
    return {"prepare": folder / "prepare", "teach": folder / "teach-8"}


def worked_out(preset: Recipe, images: int, calls: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return updates, MACs, calls and hours of each training."""
    size, options = preset.size, section(SupernetOptions, preset.supernet, "supernet")
    space = trellis_space(options.shape)
    paths = [str(path) for path in options_of(space, "path")]
    full = {name: dimension.largest for name, dimension in space.items()}
    wide = [
        trellis_cost(options.shape, {**full, "path": path, **dict.fromkeys(blocks(space), operator)}, *size).exact
        for path in paths
        for operator in OPERATORS
    ]
    original = generator_cost(**size._asdict(), **preset.teach.generator).exact
    judge = discriminator_cost(**size._asdict(), **{"inputs": 6, **preset.teach.discriminator}).exact
    limit = preset.budget.resolve({"macs": float(original), "params": 0.0, "bytes": 0.0}).get("macs", original)
    plans = {
        "teach": (preset.teach.steps(images), preset.teach.batch, original),
        "supernet": (options.cycles(len(paths), images), options.batch, 3 * sum(wide) / len(wide)),
        "finetune": (preset.finetune.steps(images), preset.finetune.batch, limit),
    }
    found = {}
    for name, (updates, batch, macs) in plans.items():
        total = updates * batch * 3 * (macs + 3 * judge * (3 if name == "supernet" else 1))
        by_macs, by_calls = total / (PEAK * SHARE) / 3600, updates * calls[name] * CALL / 3600
        found[name] = {"updates": updates, "batch": batch, "MACs": total, "calls a step": calls[name]}
        found[name] |= {"hours by MACs": by_macs, "hours by calls": by_calls, "hours": max(by_macs, by_calls)}
    return found


def blocks(space: Any) -> list[str]:
    """Return the names of the operator choices."""
    return [name for name in space if name.startswith("operator.")]


if __name__ == "__main__":
    main()
