"""How long CF-GAN's search for super-resolution takes to price and to judge a candidate, beside its bare convolutions.

    python -m benchmarks.judgement townhouses-upscale-cf_gan
    python -m benchmarks.judgement t91-cf_gan --data DIR    # T91, with Set14 in test/

Random genotypes within the recipe's budget are judged as the search judges them, without tuning: extracted from the
supernet, placed, run on the images and scored. Weights are random, on which no time depends. Images are the validation
images, which are patches of the recipe's size, and whole test pictures, one at a time, as many of each.

The limit is the time of the convolutions alone: each convolution of a candidate on an input of its own shape, in the
same layout and number type, as often as the candidate applies it. The ratio is limit / judgement, genotype by genotype.

One thread on one core. Times are of the processor, so that other processes count little; each is the median of several
in turns.
"""

import argparse
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks import profiling
from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.data.pictures import batches_of, spoken
from slimgen.data.prepared import Prepared
from slimgen.device import Compute, choose
from slimgen.methods import cf_gan
from slimgen.methods.candidates import Candidates
from slimgen.methods.cf_gan.options import space_of, training_of
from slimgen.methods.trials import PLAIN
from slimgen.metrics.evaluator import Evaluator
from slimgen.nets.cf_gan import space as translation
from slimgen.nets.cf_gan import upscale_space
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.recipe import Recipe
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal

CACHES = (
    translation.parse_path,
    translation.parts_of,
    *(getattr(upscale_space, name) for name in ("layers", "rows_of", "_cost")),
)
"""What a cost is made of that is kept for the next genotype."""


IMAGES = ("patches", "whole pictures")


class Call(NamedTuple):
    """A convolution as a candidate applies it: its class, sizes, padding, groups, and the shape of its input."""

    kind: type[nn.Conv2d]
    weight: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int
    biased: bool
    shape: tuple[int, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", default="townhouses-upscale-cf_gan")
    parser.add_argument("--data", type=Path, help="the images; the recipe's embedded ones by default")
    parser.add_argument("--out", type=Path, default=Path("runs/judgement"))
    parser.add_argument("--genotypes", type=int, default=24)
    parser.add_argument("--images", type=int, default=14)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--profile", action="store_true", help="print the operators of one judgement, too")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {arguments.core})
    settings = [f"objective.images={arguments.images}", f"evaluate.images={arguments.images}"]
    chosen = recipe.load(arguments.recipe).override([*settings, f"compute.precision={arguments.precision}"])
    home = arguments.out / chosen.name
    stages.run(chosen, data=arguments.data, out=home, until="prepare")
    compute = choose(chosen.compute.precision, "cpu", 1)
    job = job_of(chosen, compute, home)
    net = cf_gan.networks(job, training_of(chosen))[0].eval()
    candidates = Candidates(job, net)
    genotypes = within(job, net, candidates, arguments.genotypes)
    found: dict[str, Any] = {"recipe": chosen.name, "computed on": str(compute), "genotypes": len(genotypes)}
    found["cost"] = cost_times(net, genotypes, chosen)
    print({name: f"{value:.0f} us" for name, value in found["cost"].items()}, flush=True)
    for name, evaluator in evaluators(job, candidates).items():
        candidates.evaluator = evaluator
        rows = [judgement(candidates, one, arguments.repeats) for one in genotypes]
        ratios = sorted(row["ratio"] for row in rows)
        found[name] = {
            "images": len(evaluator.inputs),
            "sizes": spoken(evaluator.inputs),
            **{key: median(row[key] for row in rows) for key in rows[0]},
            "least ratio": ratios[0],
            "largest ratio": ratios[-1],
        }
        print(name, found[name], flush=True)
        if arguments.profile:
            for one in (genotypes[0], genotypes[-1]):
                print("\n".join(profiling.lines(profiling.operations(lambda one=one: candidates.measure(one, PLAIN)))))
    save(f"judgement-{chosen.name}", found)


def job_of(chosen: Recipe, compute: Compute, home: Path) -> Job:
    """Return the job of a search whose stages before it, except for prepare, are not needed."""
    out = home / "judgement"
    out.mkdir(exist_ok=True)
    return Job(
        recipe=chosen,
        compute=compute,
        task=open_task(chosen, compute),
        data=Prepared.open(home / "prepare"),
        inputs={},
        out=out,
        journal=lambda name: Journal(),
        tell=lambda what, done, total, values: None,
    )


def within(job: Job, net: Trellis, candidates: Candidates, count: int) -> list[Genotype]:
    """Return random genotypes within the budget."""
    space, rng = space_of(job.recipe, net.space), random.Random("judgement")
    found: dict[Genotype, None] = {}
    while len(found) < count:
        if candidates.allows(one := space.sample(rng)):
            found[one] = None
    return list(found)


def cost_times(net: Trellis, genotypes: Sequence[Genotype], chosen: Recipe) -> dict[str, float]:
    """Return microseconds of the closed form: nothing cached, a genotype's layers partly cached, and all of them."""
    size = chosen.size

    def clear() -> None:
        for cache in CACHES:
            cache.cache_clear()

    def took(genotype: Genotype) -> float:
        started = time.perf_counter_ns()
        net.cost(genotype, *size)
        return (time.perf_counter_ns() - started) / 1e3

    cold = []
    for genotype in genotypes:
        clear()
        cold.append(took(genotype))
    clear()
    fresh = [took(genotype) for genotype in genotypes]
    warm = [min(took(genotype) for _ in range(20)) for genotype in genotypes]
    return {"cold": median(cold), "next": median(fresh[len(fresh) // 2 :]), "warm": median(warm)}


def evaluators(job: Job, candidates: Candidates) -> dict[str, Evaluator]:
    """Return the search's own evaluator, and one like it on whole test pictures."""
    whole = Evaluator(job.task.test(job.data), [job.recipe.objective.metric], compute=job.compute)
    return dict(zip(IMAGES, (candidates.evaluator, whole), strict=True))


def judgement(candidates: Candidates, genotype: Genotype, repeats: int) -> dict[str, float]:
    """Return the milliseconds of a judgement, of its convolutions alone, and of an extraction, and their ratio."""
    net = candidates.job.compute.ready(candidates.supernet.extract(genotype))
    calls = convolutions(candidates, net)
    whole, bare, cut = list[float](), list[float](), list[float]()
    for turn in range(repeats + 1):
        one = milliseconds(lambda: candidates.measure(genotype, PLAIN))
        two = sum(number * alone(call, candidates.job.compute) for call, number in calls.items())
        three = milliseconds(lambda: candidates.job.compute.ready(candidates.supernet.extract(genotype)))
        if turn:  # the first warms up
            for times, took in ((whole, one), (bare, two), (cut, three)):
                times.append(took)
    judged, limit = median(whole), median(bare)
    macs = sum(number * macs_of(call) for call, number in calls.items())
    return {
        "ms": judged,
        "convolutions_ms": limit,
        "extraction_ms": median(cut),
        "gmacs": macs / judged / 1e6,
        "ratio": limit / judged,
    }


def convolutions(candidates: Candidates, net: nn.Module) -> Counter[Call]:
    """Return the convolutions that a candidate applies to all images, with their numbers of times."""
    found = Counter[Call]()

    def seen(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        weight, bias = module.get_parameter("weight"), module._parameters.get("bias")
        assert isinstance(module, nn.Conv2d)
        at = tuple(weight.shape), tuple(map(int, module.padding)), module.groups, bias is not None
        found[Call(type(module), *at, tuple(inputs[0].shape))] += 1

    hooks = [each.register_forward_pre_hook(seen) for each in net.modules() if isinstance(each, nn.Conv2d)]
    with torch.inference_mode(), candidates.job.compute.autocast():
        for part in batches_of(candidates.evaluator.inputs, candidates.evaluator.batch):
            net(part)
    for hook in hooks:
        hook.remove()
    return found


def alone(call: Call, compute: Compute) -> float:
    """Return the milliseconds of one convolution."""
    outputs, _, *kernel = call.weight
    how: dict[str, Any] = {"padding": call.padding, "groups": call.groups, "bias": call.biased}
    conv = call.kind(call.shape[1], outputs, tuple(kernel), **how)
    conv, images = compute.ready(conv), compute.place(torch.randn(call.shape)).to(compute.dtype)
    with torch.inference_mode():
        conv(images)
        return min(milliseconds(lambda: conv(images)) for _ in range(2))


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the paragraph on the times of a search's candidates."""
    rows = ["| 14 images | sizes | ms per candidate | of them extraction | its convolutions alone, ms | ratio |"]
    rows[0] = rows[0].replace("14", str(found[IMAGES[0]]["images"]))
    rows.append("| --- " * 6 + "|")
    for name in IMAGES:
        row = found[name]
        ratio = f"{row['ratio']:.2f} ({row['least ratio']:.2f} to {row['largest ratio']:.2f})"
        times = (f"{row[key]:.1f}" for key in ("ms", "extraction_ms", "convolutions_ms"))
        rows.append(f"| {' | '.join([name, row['sizes'], *times, ratio])} |")
    cost = found["cost"]
    head = (
        f"**Time to judge a candidate of CF-GAN's super-resolution**, {found['recipe']}, without tuning, and that of "
        f"its convolutions alone, as a ratio: medians over {found['genotypes']} random genotypes within the budget, on "
        f"{found['computed on']}. The closed-form costs of a genotype take {cost['cold']:.0f} us with nothing kept of "
        f"others, {cost['next']:.0f} us in a search and {cost['warm']:.0f} us again. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def macs_of(call: Call) -> int:
    """Return the multiply-accumulates of a convolution that keeps the size."""
    outputs, inputs, high, wide = call.weight
    count, _, height, width = call.shape
    return count * outputs * inputs * high * wide * height * width


def milliseconds(call: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    started = time.process_time_ns()
    call()
    return (time.process_time_ns() - started) / 1e6


if __name__ == "__main__":
    main()
