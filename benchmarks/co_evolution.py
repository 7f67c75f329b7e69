"""Evaluation of Co-Evolutionary Compression's candidates: the published way against slimgen's, in turns in one run.

    python -m benchmarks.co_evolution --size 64 --images 32
    python -m benchmarks.co_evolution --size 256 --images 8

Both generators of a CycleGAN are ResNets with 64 channels and 9 blocks, their discriminators PatchGANs with 64; the
bits of a candidate and its partner are random, as in a first generation. The published way is written from the paper's
description, not from its code: it loads its networks for every candidate, zeroes filters in whole generators, runs the
whole original again for each candidate, and takes one image at a time in float32. `zeroed` does the same in memory with
slimgen's batches, to separate the gain of cutting from the rest. The ways take turns on each candidate, so that other
load on the machine affects all of them. Fitnesses in float32 must agree, or the program stops.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

import townhouses
from benchmarks.results import save
from slimgen import stages
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.device import Compute, choose
from slimgen.methods.co_evolution.fitness import FITNESS, Fitness, sides
from slimgen.methods.co_evolution.options import SearchOptions
from slimgen.metrics.evaluator import fitting_batch
from slimgen.nets import build_discriminator, build_generator
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal

EQUAL = 1e-3
"""The relative difference of float32 fitnesses up to which the ways count as equal."""
GENERATOR = {"family": "resnet", "ngf": 64, "blocks": 9}
DISCRIMINATOR = {"family": "patchgan", "inputs": 3, "ndf": 64, "layers": 3}
Nets = Mapping[str, nn.Module]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=6)
    arguments = parser.parse_args()
    chosen = choose(device="cpu")
    computes = {str(compute): compute for compute in (Compute(chosen.device), chosen)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = recipe_of(folder, arguments.size, arguments.images)
        judges = {kind: judge_of(recipe, folder, kind, compute) for kind, compute in computes.items()}
        found = measured(folder, judges, arguments.pairs)
    about = {name: getattr(arguments, name) for name in ("size", "images", "pairs")}
    save(f"co_evolution-{arguments.size}px", {**about, **found})
    for way, seconds in found["seconds"].items():
        print(f"{way:28} {seconds:7.3f} s a candidate  {1 / seconds:6.2f} a second  {found['ratio'][way]:5.1f}x")
    print(f"fitnesses in float32 differ by at most {found['apart']:.1e}, relatively")


def quiet(what: str, done: int, total: int, values: Mapping[str, float]) -> None:
    pass


def recipe_of(folder: Path, size: int, images: int) -> Recipe:
    """Write townhouses by day and by night, and originals with drawn weights; return the recipe that imports them."""
    townhouses.write(folder / "images", seed=0, train=images + 2, test=2, size=size, layout="unpaired")
    files = {}
    for seed, way in enumerate(("", "reverse_")):
        nets = build_generator(seed=seed, **GENERATOR), build_discriminator(seed=seed + 2, **DISCRIMINATOR)
        for part, net in zip(("generator", "discriminator"), nets, strict=True):
            files[f"{way}{part}_checkpoint"] = str(folder / f"{way}{part}.safetensors")
            save_weights(files[f"{way}{part}_checkpoint"], lively(net).state_dict())
    return Recipe.from_values(
        {
            **{"name": "co_evolution", "task": "unpaired", "method": "co_evolution", "size": size},
            "data": {"validation": images},
            "losses": {"gan": "least-squares"},
            "teach": {"updates": 1, "generator": GENERATOR, "discriminator": DISCRIMINATOR, **files},
            "finetune": {"updates": 0},
        }
    )


def lively(net: nn.Module) -> nn.Module:
    """Draw weights large enough that outputs differ between images, as a trained network's do."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_normal_(module.weight)
    return net


def judge_of(recipe: Recipe, folder: Path, kind: str, compute: Compute) -> Fitness:
    """Return slimgen's way in one number type, with an empty cache; the originals run in the same type."""
    precision = "fp32" if compute.dtype == torch.float32 else "bf16"
    recipe, run = recipe.override([f"compute.precision={precision}", "compute.device=cpu"]), folder / kind / "run"
    stages.run(recipe, data=folder / "images", out=run, until="supernet", progress=quiet)
    inputs = {name: run / name for name in ("prepare", "teach", "supernet")}
    data, task = Prepared.open(run / "prepare"), open_task(recipe, compute)
    job = Job(recipe, compute, task, data, inputs, run / "search", lambda name: Journal(), quiet)
    return Fitness(job, sides(job), SearchOptions(tuning=None))


def measured(folder: Path, judges: Mapping[str, Fitness], pairs: int) -> dict[str, Any]:
    """Measure the seconds per candidate of each way, and the largest difference of float32 fitnesses."""
    ways: dict[str, Callable[[Genotype], float]] = {"published": Published(folder, judges), "zeroed": Zeroed(judges)}
    for kind, judge in judges.items():
        ways[f"cut, {kind}"] = lambda pair, judge=judge: judge.quality(pair)[FITNESS]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    apart, rng = 0.0, random.Random(0)
    space = next(iter(judges.values())).sides["b"].filters.space
    partner = space.sample(rng)
    for number in range(pairs + 1):
        pair = Genotype({"turn": "a"}) | space.sample(rng).prefixed("a") | partner.prefixed("b")
        values = {}
        for way, judged in ways.items():
            started = time.perf_counter()
            values[way] = judged(pair)
            if number:  # the first pair warms up
                seconds[way].append(time.perf_counter() - started)
        exact = [value for way, value in values.items() if "bf16" not in way]
        apart = max(apart, (max(exact) - min(exact)) / min(exact))
    if apart > EQUAL:
        raise SystemExit(f"all ways must compute the same fitness; got relative differences up to {apart:.1e}")
    medians = {way: median(times) for way, times in seconds.items()}
    return {
        "seconds": medians,
        "ratio": {way: medians["published"] / value for way, value in medians.items()},
        "apart": apart,
    }


class Zeroed:
    """The published computation in memory: whole generators with zeroed filters, and the original again, in float32.

    Args:
        judges: slimgen's, for images and masks.
    """

    def __init__(self, judges: Mapping[str, Fitness]) -> None:
        self.judge = next(iter(judges.values()))
        self.images = whole(self.judge.job.data.split("val")).input
        self.batch = fitting_batch(self.images.shape[-2:], torch.device("cpu"))

    def __call__(self, pair: Genotype) -> float:
        """Return the fitness of a pair's first."""
        return self.fitness(pair, self.networks())

    def networks(self) -> Nets:
        """Return original, discriminator, and the generators whose filters are zeroed."""
        a, b = self.judge.sides["a"], self.judge.sides["b"]
        return {
            "original": a.gan.generator,
            "discriminator": a.gan.discriminator,
            "candidate": a.filters.net,
            "partner": b.filters.net,
        }

    @torch.inference_mode()
    def fitness(self, pair: Genotype, nets: Nets) -> float:
        """Return the fitness of Eq. 11."""
        candidate, share = zeroed(nets["candidate"], pair.under("a"))
        partner, _ = zeroed(nets["partner"], pair.under("b"))
        distance = cycle = scores = 0.0
        for shown in torch.split(self.images, self.batch):
            real, fake = nets["original"](shown), candidate(shown)
            seen = nets["discriminator"](real), nets["discriminator"](fake)
            distance += float((seen[0] - seen[1]).square().sum())
            scores += seen[0].numel()
            cycle += float((partner(fake) - shown).square().sum())
        return 1 / (share + 10 * (distance / scores + 10 * cycle / self.images.numel()))


class Published(Zeroed):
    """The published way: like `Zeroed`, but with one image at a time and networks loaded for every candidate.

    Args:
        folder: of the checkpoints.
        judges: see `Zeroed`.
    """

    def __init__(self, folder: Path, judges: Mapping[str, Fitness]) -> None:
        super().__init__(judges)
        self.folder, self.batch = folder, 1

    def networks(self) -> Nets:
        """Load the networks from their files."""
        named = {
            "original": ("generator", build_generator(**GENERATOR)),
            "discriminator": ("discriminator", build_discriminator(**DISCRIMINATOR)),
            "candidate": ("generator", build_generator(**GENERATOR)),
            "partner": ("reverse_generator", build_generator(**GENERATOR)),
        }
        for file, net in named.values():
            net.load_state_dict(load_weights(self.folder / f"{file}.safetensors"))
        return {name: net.eval() for name, (_, net) in named.items()}


def zeroed(net: nn.Module, genotype: Mapping[str, Any]) -> tuple[nn.Module, float]:
    """Return a ResNet with masked filters and biases set to zero, and the share of its weights that count (Eq. 10)."""
    copied = build_generator(**GENERATOR)
    copied.load_state_dict(net.state_dict())
    masks = {name: torch.tensor([bit == "1" for bit in str(bits)]) for name, bits in genotype.items()}
    trunk, before = masks["filter.model-7"], torch.ones(3, dtype=torch.bool)
    left = full = 0
    for name, layer in copied.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            continue
        key = "filter." + name.replace(".", "-")
        stay = masks.get(key, trunk if "conv_block" in name else torch.ones(layer.out_channels, dtype=torch.bool))
        filters = layer.weight.data.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight.data
        filters[~stay] = 0
        layer.bias.data[~stay] = 0
        left += int(stay.sum()) * int(before.sum()) * layer.weight[0, 0].numel()
        full += layer.weight.numel()
        before = stay
    return copied.eval(), left / full


if __name__ == "__main__":
    main()
