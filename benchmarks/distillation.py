"""One step of once-for-all training with a teacher: the published way against slimgen's, step by step in one run.

    python -m benchmarks.distillation --size 64 --batch 4
    python -m benchmarks.distillation --size 256 --batch 1

The setting: a frozen mobile teacher with 64 channels, the supernet of channels-48, a PatchGAN with 128 channels on
pairs; the hinge loss, 100 L1, and the distillation of four features through 1x1 convolutions. Both ways start with the
same weights and get the same batches and configurations. After each step of slimgen's training loop the published way
takes the same step, so that other load on the machine affects both. The first losses in float32 must agree, or the
program stops. Later losses drift apart: where a gradient is only rounding error, Adam's first steps follow its sign.

The limit is the time of all convolutions, forward and backward, at the rate of a large convolution of the same type,
measured in the same run.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch

import townhouses
from benchmarks import peers, profiling
from benchmarks.rates import limit
from benchmarks.results import save
from slimgen.cost.rows import Row, cost_of
from slimgen.data.conversion import Setting
from slimgen.data.prepare_translation import prepare_pairs
from slimgen.data.prepared import Prepared
from slimgen.device import Compute, choose
from slimgen.methods.gan_compression.distilling import distilling, once_for_all, showing
from slimgen.methods.gan_compression.options import SupernetOptions, tap_channels, teacher_options
from slimgen.nets import build_generator, discriminator_cost, generator_cost
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.nets.resnet.description import CHANNELS
from slimgen.recipe import Recipe, section
from slimgen.search.genotype import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.gan import GanTraining, train_gan
from slimgen.tasks.guidance import Guidance
from slimgen.tasks.task import Job
from slimgen.training.draws import uniform
from slimgen.training.fit import Journal

WARMUP = 3
TERMS = ("generator.recon", "generator.adversarial", "generator.distill", "discriminator.loss")
NDF = 128
EQUAL = 1e-4
"""The relative difference of float32 losses up to which the ways count as equal."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    chosen = choose(device="cpu")
    computes = {str(compute): compute for compute in (Compute(chosen.device), chosen)}
    recipe = recipe_of(arguments.size, arguments.batch, WARMUP + arguments.steps)
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(Path(folder), recipe)
        runs = {name: Training(recipe, compute, data, Path(folder)) for name, compute in computes.items()}
        ways = {name: run.measure() for name, run in runs.items()}
    theirs = [seconds for way in ways.values() for seconds in way.pop("peers")]
    for way in ways.values():
        way["ratio"] = median(theirs) / way["seconds"]
    about = {name: getattr(arguments, name) for name in ("size", "batch", "steps")}
    found = {**about, "peers": median(theirs), "ours": ways}
    save(f"distillation-{arguments.size}px", found)
    print("\n".join(lines(found)))


def recipe_of(size: int, batch: int, steps: int) -> Recipe:
    """Return the training as a recipe; the teacher takes the original's place."""
    schedule = {"updates": steps, "batch": batch, "decay": 0.0}
    return Recipe.from_values(
        {
            **{"name": "distillation", "task": "paired", "method": "gan_compression", "size": size},
            "data": {"direction": "BtoA", "validation": 1},
            "losses": {"gan": "hinge", "adversarial": 1, "recon": 100},
            "teach": {
                **schedule,
                "generator": {"family": "mobile_resnet", "ngf": 64, "blocks": 9},
                "discriminator": {"family": "patchgan", "ndf": NDF, "layers": 3},
            },
            "supernet": {**schedule, "space": "channels-48", "distill": 1},
            "finetune": schedule,
        }
    )


def prepared(folder: Path, recipe: Recipe) -> Prepared:
    """Write and prepare townhouses."""
    townhouses.write(folder / "images", seed=0, train=9, test=1, size=recipe.size.height)
    about = {"direction": recipe.data.direction, "validation": recipe.data.validation, "seed": recipe.seed}
    prepare_pairs(folder / "images", folder / "prepare", Setting(size=recipe.size, load=recipe.size, **about))
    return Prepared.open(folder / "prepare")


class Training:
    """Slimgen's training in one number type, and the published one, which follows it step by step.

    Args:
        recipe: of both.
        compute: of slimgen's.
        data: of both.
        folder: for files that slimgen's training may write.
    """

    def __init__(self, recipe: Recipe, compute: Compute, data: Prepared, folder: Path) -> None:
        self.recipe, self.compute = recipe, compute
        self.options = section(SupernetOptions, recipe.supernet, "supernet")
        task = open_task(recipe, compute)
        journal = Journal(progress=self._after, log_every=1)
        about = {"inputs": {"teach": folder}, "out": folder, "journal": lambda name: journal}
        self.job = Job(recipe, compute, task, data, **about, tell=lambda what, done, total, values: None)
        self.batches = task.batches(data, self.options)["train"]
        self.net, self.discriminator = once_for_all(self.job, self.options), task.discriminator()
        teacher = compute.place(build_generator(seed=2, **teacher_options(recipe, self.options)))
        # Copied before `distilling` converts the teacher's number type.
        self.teacher = peers.MobileResnet((recipe.teach.generator["ngf"],) * 8)
        self.teacher.load_state_dict(teacher.state_dict())
        self.guidance = distilling(self.job, self.options, teacher)
        self.draw = uniform(self.net.space, recipe.seed)
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.losses: list[tuple[Mapping[str, float], Mapping[str, float]]] = []
        self.following = self._peers(self.guidance)

    def _peers(self, guidance: Guidance) -> peers.Distiller:
        """Return the published training, with copies of slimgen's weights."""
        student = peers.MobileResnet(CHANNELS.config(self.net.space.largest()))
        student.load_state_dict(self.net.state_dict())
        judge = peers.PatchGAN(6, NDF)
        judge.load_state_dict(self.discriminator.state_dict())
        trunks = (channels[0] for channels in tap_channels(self.recipe, self.options))
        adaptors = peers.adaptors(*trunks, guidance.modules["adaptors"].state_dict())
        weights = {"recon": self.recipe.losses.recon, "distill": self.options.distill, "rate": self.options.rate}
        return peers.Distiller(self.teacher, student, judge, adaptors, **weights)

    def _after(self, done: int, total: int, values: Mapping[str, float]) -> None:
        """Stop slimgen's clock, take the same step the published way, and start slimgen's clock again."""
        self.ours.append(time.perf_counter() - self.started)
        started = time.perf_counter()
        pair = self.batches(done - 1)
        condition, target = (side.contiguous() for side in pair)
        config = CHANNELS.config(Genotype(self.draw(done - 1)[0]))
        found = self.following.step(condition, target, config)
        self.theirs.append(time.perf_counter() - started)
        self.losses.append(({name: values[name] for name in TERMS}, found))
        self.started = time.perf_counter()

    def _train(self, steps: int) -> None:
        self.started = time.perf_counter()
        about: dict[str, Any] = {"generate": showing(self.net), "guidance": self.guidance, "draw": self.draw}
        train_gan(self.job, GanTraining("supernet", self.net, self.discriminator, self.options, steps, **about))

    def measure(self) -> dict[str, Any]:
        """Measure seconds per step of both, the differences of losses, the limit, and slimgen's time by operator."""
        steps = self.options.steps(len(self.job.data.split("train")))
        self._train(steps)
        apart = {name: abs(self.losses[0][0][name] / self.losses[0][1][name] - 1) for name in TERMS}
        if self.compute.dtype == torch.float32 and max(apart.values()) > EQUAL:
            raise SystemExit(f"the first losses must agree; got {self.losses[0]}")
        seconds, macs = median(self.ours[WARMUP:]), self._macs(steps)
        least = macs["forward"] / limit(self.compute) + macs["training"] / limit(self.compute, training=True)
        found = {
            "seconds": seconds,
            "peers": self.theirs[WARMUP:],
            "losses": {"ours": self.losses[0][0], "peers": self.losses[0][1]},
            "first step apart": apart,
            "steps apart": {name: [abs(one[name] / two[name] - 1) for one, two in self.losses] for name in TERMS},
            "gmacs": macs,
            "limit": least,
            "share": least / seconds,
        }
        self.job.journal("").progress = None
        return {**found, "operations": profiling.operations(lambda: self._train(3))}

    def _macs(self, steps: int) -> dict[str, float]:
        """Return the GMACs of an average step: of forward passes alone, and of training, gradients included."""
        size, batch = self.recipe.size.height, self.recipe.teach.batch
        teacher = generator_cost(height=size, width=size, **self.recipe.teach.generator).exact
        judged = discriminator_cost("patchgan", size, size, inputs=6, ndf=NDF, layers=3).exact
        first = cost_of([Row("first", "convolution", 6, NDF, 4, part=2)], size, size).exact
        trained = 0.0
        for step in range(WARMUP, steps):
            genotype = Genotype(self.draw(step)[0])
            trained += student(self.net, genotype, size) / (steps - WARMUP)
        # In the generator's phase, gradients pass through the discriminator to the image, not to its weights. In the
        # discriminator's phase, on real and generated images, the first layer passes none to its input.
        trained += 2 * judged + 2 * (3 * judged - first)
        return {"forward": batch * teacher / 1e9, "training": batch * trained / 1e9}


def student(net: OnceForAll, genotype: Genotype, size: int) -> int:
    """Return the MACs of a configuration and its adaptors, forward and backward, on one image; the input needs none."""
    config = CHANNELS.config(genotype)
    adaptor = Row("adaptor", "convolution", 4 * config[2], 4 * 64, 1, part=4)
    adaptors = len(peers.TAPS) * cost_of([adaptor], size, size).exact
    stem = cost_of([Row("stem", "convolution", 3, config[0], 7)], size, size).exact
    return 3 * (net.cost(genotype, size, size).exact + adaptors) - stem


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return the figures as lines of text."""
    text = [f"{found['size']} px, batch {found['batch']}: the published way takes {found['peers']:.3f} s per step"]
    for name, way in found["ours"].items():
        text.append(f"{name}: {way['seconds']:.3f} s per step, {way['ratio']:.2f} times as fast")
        text.append(f"  {way['limit']:.3f} s at the limit, of which {way['share']:.2f} is reached")
        apart = ", ".join(f"{term} {value:.1e}" for term, value in way["first step apart"].items())
        text.append(f"  relative differences of the first step's losses: {apart}")
        for term, values in way["steps apart"].items():
            text.append(f"  relative differences of {term}, all steps: {', '.join(f'{value:.0e}' for value in values)}")
        text += [f"    {line}" for line in profiling.lines(way["operations"])]
    return text


if __name__ == "__main__":
    main()
