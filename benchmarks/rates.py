"""The speed of supernet training and candidate evaluation, compared with this machine's convolutions.

    python -m benchmarks.rates [--size 64] [--ngf 16] [--batch 4]

The limit is the rate of a large convolution in each layout and type, measured in the same run. A rate is the MACs of
the networks' convolutions per second (three times the forward pass in training: forward, gradient of the input,
gradient of the weight), and its share of the limit of the same type.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.results import save
from slimgen.cost.count import count
from slimgen.data.batches import Pair
from slimgen.device import Compute, choose
from slimgen.metrics.evaluator import Evaluator
from slimgen.nets.cf_gan.space import Shape, parse_path
from slimgen.nets.cf_gan.superdiscriminator import SuperDiscriminator
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.initial import initialise
from slimgen.recipe import Recipe, Schedule
from slimgen.tasks.gan import GanTraining
from slimgen.tasks.paired import Paired
from slimgen.training.draws import fair
from slimgen.training.fit import fit

CHANNELS, SIDE, KERNEL = 256, 64, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--ngf", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--candidates", type=int, default=40)
    arguments = parser.parse_args()
    chosen = choose()
    device = chosen.device
    found: dict[str, Any] = {"chosen": str(chosen), "limits": {}, "rates": {}}
    for layout in (True, False):
        for dtype in (torch.float32, torch.bfloat16):
            compute = Compute(device, dtype, layout)
            found["limits"][str(compute)] = {"forward": limit(compute), "training": limit(compute, training=True)}
    for dtype in (torch.float32, torch.bfloat16):
        compute = Compute(device, dtype, True)
        limits = found["limits"][str(compute)]
        training = supernet_rate(compute, arguments.size, arguments.ngf, arguments.batch, arguments.steps)
        training["share"] = training["gmacs"] / limits["training"]
        evaluation = evaluation_rate(compute, arguments.size, arguments.ngf, arguments.candidates)
        evaluation["share"] = evaluation["gmacs"] / limits["forward"]
        found["rates"][str(compute)] = {"supernet training": training, "candidate evaluation": evaluation}
    save(f"rates-{device.type}", found)
    for name, values in found["limits"].items():
        print(f"limit  {name}: {values['forward']:.0f} GMAC/s forward, {values['training']:.0f} training")
    for name, rates in found["rates"].items():
        for what, rate in rates.items():
            print(
                f"{what}, {name}: {rate['rate']:.1f}/s = {rate['gmacs']:.1f} GMAC/s, {rate['share']:.2f} of the limit"
            )


def seconds(call: Callable[[], object], repeats: int = 7) -> float:
    """Return the median time of a call, after two warm-up calls."""
    times = []
    for turn in range(repeats + 2):
        started = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if turn >= 2:
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def limit(compute: Compute, training: bool = False) -> float:
    """Return the GMAC/s of a large convolution, forward alone or with both gradients."""
    conv = compute.place(nn.Conv2d(CHANNELS, CHANNELS, KERNEL, padding=1, bias=False))
    images = compute.place(torch.randn(4, CHANNELS, SIDE, SIDE)).requires_grad_(training)
    macs = 4 * CHANNELS * CHANNELS * KERNEL**2 * SIDE**2

    def forward() -> None:
        with torch.no_grad(), compute.autocast():
            conv(images)

    def backward() -> None:
        with compute.autocast():
            out = conv(images)
        out.backward(torch.ones_like(out))

    return (3 * macs / seconds(backward) if training else macs / seconds(forward)) / 1e9


def recipe(size: int, batch: int) -> Recipe:
    """Return a recipe of the benchmark's size."""
    lengths = {"updates": 1, "batch": batch}
    values = {"name": "rates", "task": "paired", "method": "cf_gan", "size": size}
    return Recipe.from_values({**values, "losses": {"recon": 100}, "teach": lengths, "finetune": lengths})


def supernet_rate(compute: Compute, size: int, ngf: int, batch: int, steps: int) -> dict[str, float]:
    """Return fair training steps per second, and the MACs of generator and discriminator in them."""
    task = Paired(recipe(size, batch), compute)
    generator = compute.place(initialise(Trellis(Shape(ngf=ngf)), 0))
    judge = compute.place(initialise(SuperDiscriminator(3, ngf), 1))
    draw = fair(generator.space, generator.space.largest(), 0)
    images = torch.rand(batch, 3, size, size) * 2 - 1
    pair = Pair(compute.place(images), compute.place(images.flip(0)))
    schedule = Schedule(updates=steps, batch=batch)

    def run(first: int, last: int) -> None:
        training = GanTraining(
            "rates",
            generator,
            judge,
            schedule,
            steps,
            discriminate=lambda both, arch: judge(both, parse_path(str(arch["path"]))),
            draw=lambda step: draw(step + first),
        )
        (phases, _), images = task.phases(training), {"train": lambda step: pair}
        fit(phases, training.draw, images, last - first, seed=0, compute=compute, state={})

    run(0, 4)
    started = time.perf_counter()
    run(4, steps + 4)
    took = time.perf_counter() - started
    macs = 0
    for step in range(4, steps + 4):
        archs = draw(step)
        path = parse_path(str(archs[0]["path"]))
        sub = sum(generator.cost(arch, size, size).exact for arch in archs)
        score = count(_OnPath(judge, path), compute.place(torch.zeros(1, 6, size, size))).exact
        # Generators forward and backward; scores forward and back to the image; then fakes and reals once more.
        macs += batch * (3 * sub + 2 * score * len(archs) + 3 * score * (len(archs) + 1))
    return {"rate": steps / took, "gmacs": macs / took / 1e9}


def evaluation_rate(compute: Compute, size: int, ngf: int, candidates: int) -> dict[str, float]:
    """Return candidates per second, extracted and measured by PSNR on 32 images, and their forward passes' MACs."""
    generator = compute.place(initialise(Trellis(Shape(ngf=ngf)), 0)).eval()
    images = torch.rand(32, 3, size, size) * 2 - 1
    evaluator = Evaluator((images, images.flip(0)), ["psnr"], compute=compute)
    rng = random.Random(0)
    genotypes = [generator.space.sample(rng) for _ in range(candidates + 4)]
    for genotype in genotypes[:4]:
        evaluator.measure(compute.ready(generator.extract(genotype)))
    started = time.perf_counter()
    for genotype in genotypes[4:]:
        evaluator.measure(compute.ready(generator.extract(genotype)))
    took = time.perf_counter() - started
    macs = sum(32 * generator.cost(genotype, size, size).exact for genotype in genotypes[4:])
    return {"rate": candidates / took, "gmacs": macs / took / 1e9}


class _OnPath(nn.Module):
    """A discriminator on one path, as a module with one argument."""

    def __init__(self, judge: SuperDiscriminator, path: tuple[int, ...]) -> None:
        super().__init__()
        self.judge, self.path = judge, path

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.judge(images, self.path)
        return scores


if __name__ == "__main__":
    main()
