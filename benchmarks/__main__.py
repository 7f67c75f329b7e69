"""All benchmarks, one after the other: `make bench`. They take hours on two cores.

Benchmarks on downloaded images only run if `--facades`, `--flowers` or `--cifar10` gives the folder of the images
(`slimgen data get facades DIR`, `iphone2dslr_flower`, `cifar10`). The last two also need the feature network of
examples/resnet20.py as weights/resnet20.pt. docs/results.md gives the settings of its figures.
"""

import argparse
import subprocess
import sys
from pathlib import Path

BUDGETS = ("1/8", "1/16")
NARROWER = ["--budgets", "1/32", "--set", "supernet.ratios=[0.125, 0.25, 0.5, 0.75, 1.0]"]
"""With so small a budget, a quarter as the smallest ratio would leave nothing to choose."""

WAYS = ("--ways", "OF", "TF", "TH", "THS", "random")
HALVING = "benchmarks/townhouses-32-halving.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facades", type=Path)
    parser.add_argument("--flowers", type=Path)
    parser.add_argument("--cifar10", type=Path)
    arguments = parser.parse_args()
    commands = [
        ["benchmarks.cost"],
        ["benchmarks.rates"],
        ["benchmarks.judgement"],
        ["benchmarks.norms"],
        ["benchmarks.latency"],
        ["benchmarks.graph"],
        *(["benchmarks.latency", "--family", family] for family in ("filters", "cells", "edges")),
        ["benchmarks.evaluation"],
        ["benchmarks.distillation", "--size", "64", "--batch", "4"],
        ["benchmarks.distillation", "--size", "256", "--batch", "1"],
        ["benchmarks.enumeration"],
        ["benchmarks.fuzz_pictures"],
        ["benchmarks.comparison", "townhouses-cf_gan", "townhouses-gan_compression"],
        ["benchmarks.parts"],
        ["benchmarks.milliseconds"],
        ["benchmarks.fair", "benchmarks/townhouses-32.yaml", "--budgets", "1/16", "--seeds", "0", "1", "2"],
        ["benchmarks.fair", HALVING, "--budgets", *BUDGETS],
        ["benchmarks.fair", HALVING, *NARROWER, "--name", "townhouses-32-halving-1of32"],
        ["benchmarks.ablations"],
        ["benchmarks.ranking", "benchmarks/townhouses-32.yaml", "--set", "budget.macs=1/16"],
        ["benchmarks.ranking", "benchmarks/townhouses-32-gan_compression.yaml", "--updates", "600"],
        ["benchmarks.co_evolution"],
        ["benchmarks.coevolved"],
        ["benchmarks.integers"],
        ["benchmarks.bits", "runs/coevolved/townhouses-32-co_evolution-0"],
        ["benchmarks.unpaired", "townhouses-co_evolution"],
        ["benchmarks.unpaired", "townhouses-cyclegan_nas", "--night", "100"],
        ["benchmarks.unpaired", "benchmarks/townhouses-32-cyclegan_nas.yaml", *WAYS, "--seeds", "0", "1", "2"],
        ["benchmarks.frames"],
        ["benchmarks.relaxation_memory"],
        ["benchmarks.tiled"],
        ["benchmarks.kills"],
    ]
    if arguments.facades is not None:
        where = ["--data", str(arguments.facades)]
        commands.append(["benchmarks.comparison", "facades-cf_gan", "facades-gan_compression", *where])
        halving = ["benchmarks.fair", "benchmarks/facades-32-halving.yaml", *where]
        commands.append([*halving, "--budgets", *BUDGETS])
        commands.append([*halving, *NARROWER, "--name", "facades-32-halving-1of32"])
    if arguments.flowers is not None:
        where = ["--data", str(arguments.flowers)]
        commands.append(["benchmarks.unpaired", "flowers-cyclegan_nas", *where])
        small = "benchmarks/flowers-32-cyclegan_nas.yaml"
        commands.append(["benchmarks.unpaired", small, *where, *WAYS, "--seeds", "0", "1"])
    if arguments.cifar10 is not None:
        commands.append(["benchmarks.alphagan", "--data", str(arguments.cifar10), "--network", "weights/resnet20.pt"])
        commands.append(["benchmarks.best_of", "--data", str(arguments.cifar10), "--network", "weights/resnet20.pt"])
        commands.append(["benchmarks.hinge"])
        commands.append(["benchmarks.hinge", "--sets", "cifar10", "--cifar10", str(arguments.cifar10)])
    for command in commands:
        print("\n$ python -m", *command, flush=True)
        subprocess.run([sys.executable, "-m", *command], check=True)


if __name__ == "__main__":
    main()
