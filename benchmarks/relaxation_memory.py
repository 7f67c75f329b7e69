"""Memory and seconds of a supernet's step, by the way its operations are mixed.

    python -m benchmarks.relaxation_memory
    python -m benchmarks.relaxation_memory --device cuda --batch 64 --channels 256 --hidden 64

A step of AlphaGAN is one of the generator and one of the logits; a step of CycleGANAS is one of both generators. The
mixtures are softmax, softmax that recomputes operations instead of keeping their activations, and one drawn operation
for each choice. Each is measured in its own process: on a CPU the peak of resident memory minus the memory before the
first step, on a GPU the most memory that PyTorch allocated.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.results import save
from slimgen import recipe
from slimgen.data.batches import Pair
from slimgen.device import choose
from slimgen.methods.alphagan import algorithm as alphagan_algorithm
from slimgen.methods.alphagan.options import SupernetOptions
from slimgen.methods.alphagan.players import players as alphagan_players
from slimgen.methods.cyclegan_nas.options import SupernetOptions as CyclesOptions
from slimgen.methods.cyclegan_nas.phases import joined, networks, phases, pools_of
from slimgen.nets.relaxation import Relaxation
from slimgen.recipe import section
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.training.draws import fixed
from slimgen.training.fit import Journal, Phase, fit

KINDS = {"alphagan": ("softmax", "recompute", "sampled"), "cyclegan_nas": ("softmax", "sampled")}
"""CycleGANAS mixes kernels, so there is little to recompute."""
STEPS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=16, help="batch of AlphaGAN; CycleGANAS takes one image")
    parser.add_argument("--channels", type=int, default=64, help="of AlphaGAN")
    parser.add_argument("--hidden", type=int, default=16, help="of CycleGANAS")
    parser.add_argument("--child", nargs=2, metavar=("METHOD", "KIND"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(taken(*arguments.child, arguments)))
        return
    found: dict[str, dict[str, Any]] = {}
    for method, kinds in KINDS.items():
        found[method] = {}
        for kind in kinds:
            command = [sys.executable, "-m", "benchmarks.relaxation_memory", *sys.argv[1:], "--child", method, kind]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row = found[method][kind] = json.loads(done.stdout.splitlines()[-1])
            print(f"{method:13} {kind:10} {row['bytes'] / 2**20:8.0f} MiB  {row['seconds']:.3f} s a step", flush=True)
    about = {name: getattr(arguments, name) for name in ("device", "batch", "channels", "hidden")}
    save(f"relaxation_memory-{arguments.device}", {**about, "methods": found})


def taken(method: str, kind: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the peak in bytes, and the seconds of a step without the first."""
    job = job_of("cifar10-alphagan_s" if method == "alphagan" else "townhouses-cyclegan_nas", arguments.device)
    phases, batch, state = (alphagan if method == "alphagan" else cycles)(job, kind, arguments)
    cuda = arguments.device == "cuda"
    times: list[float] = []

    def told(done: int, steps: int, values: object) -> None:
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    before = resident()
    batches = {phase.split: lambda step: batch for phase in phases}
    journal = Journal(progress=told)
    fit(phases, fixed(Genotype({})), batches, STEPS, seed=0, compute=job.compute, state=state, journal=journal)
    # ru_maxrss is in KiB on Linux.
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = median(end - start for start, end in pairwise(times))
    return {"bytes": peak - (0 if cuda else before), "before": before, "seconds": seconds}


def resident() -> int:
    """Return the resident memory of the process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def job_of(name: str, device: str) -> Job:
    """Return a job without data: its steps get random numbers drawn here."""
    base = recipe.load(name)
    compute = choose("fp32", device)
    folder = Path()
    return Job(base, compute, open_task(base, compute), None, {}, folder, lambda of: Journal(), lambda *told: None)  # type: ignore[arg-type]


Step = tuple[list[Phase], Pair, dict[str, Any]]


def alphagan(job: Job, kind: str, arguments: argparse.Namespace) -> Step:
    """Return the generator's step and the logits' step, on images of CIFAR-10's size."""
    options = SupernetOptions(
        batch=arguments.batch,
        channels=arguments.channels,
        discriminator_channels=min(128, arguments.channels),
        relaxation="sampled" if kind == "sampled" else "softmax",
        recompute=kind == "recompute",
    )
    once = {"iterations": 1, "weight_steps": 1, "critic_steps": 1, "bar_steps": 1, "architecture_steps": 1}
    table = alphagan_algorithm.timetable(options.model_copy(update=once))
    counts = alphagan_algorithm.Counts()
    those = alphagan_players(job, options, len(table))
    every = alphagan_algorithm.phases(job, options, those, table, counts, lambda: None)
    chosen = [replace(each, when=lambda step: True) for each in every if each.name in ("generator", "architecture")]
    noise = drawn(arguments.batch, 128)
    real = drawn(arguments.batch, 3, *job.recipe.size)
    return chosen, Pair(*map(job.compute.place, (noise, real))), dict(those.parts)


def cycles(job: Job, kind: str, arguments: argparse.Namespace) -> Step:
    """Return the generators' step of Algorithm 1, which updates logits and weights together."""
    settings = {**job.recipe.supernet, "hidden": arguments.hidden}
    options = section(CyclesOptions, settings, "supernet")
    those = networks(job, options, STEPS)
    if kind == "sampled":
        sampled = Relaxation(joined(options), seed=0, kind="sampled")
        those = those._replace(relaxation=job.compute.place(sampled))
    pools = pools_of(job, options)
    every = phases(job, options, those, pools, STEPS)
    size = job.recipe.size
    pair = Pair(*(job.compute.place(drawn(1, 3, *size)) for _ in range(2)))
    return [each for each in every if each.name == "generator"], pair, {**those.nets, "relaxation": those.relaxation}


def drawn(*shape: int) -> Tensor:
    """Draw standard normal numbers, the same at each call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


if __name__ == "__main__":
    main()
