"""The cost of every configuration of channels-64-pix2pix, computed in columns of arrays and one by one.

    python -m benchmarks.enumeration

The costs of the 5,764,801 configurations of a mobile ResNet are computed in closed form. Those that use at least 90 %
of a budget, a quarter of the largest one's operations, are listed, as an exhaustive search does before it measures any.
The loop over single configurations runs on a sample and is extrapolated. Both must give the same costs. The time of the
published search per configuration, with a forward pass of the supernet, is in `benchmarks.evaluation`.
"""

import argparse
import random
import time
import tracemalloc
from collections.abc import Mapping
from itertools import islice
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.results import save
from slimgen.nets import generator_cost
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.search import Budget
from slimgen.search.grid import Grid

SPACE = "channels-64-pix2pix"
CONVENTION = "gan-compression"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--sample", type=int, default=20_000, help="configurations in the loop")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--low", type=float, default=0.9, help="the least share of the budget to use")
    arguments = parser.parse_args()
    with torch.device("meta"):  # costs alone: no weights are needed
        net = OnceForAll(space=SPACE)
    grid, size = Grid(net.space), arguments.size
    original = generator_cost("mobile_resnet", size, size, ngf=64).macs(CONVENTION)
    budget = Budget(macs=original / 4)

    def costs(columns: Mapping[str, Any]) -> Mapping[str, Any]:
        return net.costs(columns, size, size).as_dict(CONVENTION)

    taken, places = [], np.empty(0)
    for _ in range(arguments.repeats):
        started = time.perf_counter()
        places = grid.band(costs, budget, arguments.low)
        taken.append(time.perf_counter() - started)
    tracemalloc.start()  # after the clock, since it slows Python down
    grid.band(costs, budget, arguments.low)
    mebibytes = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    started = time.perf_counter()
    one_by_one = [
        net.cost(genotype, size, size).macs(CONVENTION) for genotype in islice(net.space.enumerate(), arguments.sample)
    ]
    looped = (time.perf_counter() - started) / arguments.sample * len(grid)
    check(grid, net, size, one_by_one)
    found = {
        "space": SPACE,
        "size": size,
        "configurations": len(grid),
        "budget": budget.macs,
        "low": arguments.low,
        "inside": len(places),
        "seconds": median(taken),
        "MiB": mebibytes,
        "sample": arguments.sample,
        "loop": looped,
        "ratio": looped / median(taken),
    }
    save("enumeration", found)
    print(
        f"{len(grid):,} configurations: {median(taken):.2f} s and {mebibytes:.0f} MiB; "
        f"{len(places):,} within the band; one by one {looped:.0f} s ({looped / median(taken):.0f} times as long)"
    )


def check(grid: Grid, net: OnceForAll, size: int, one_by_one: list[int]) -> None:
    """Raise SystemExit unless both ways agree, on the sample in order and on random rows."""
    counted = net.costs(grid.columns(0, len(one_by_one)), size, size).macs(CONVENTION)
    rng = random.Random(0)
    for place in (rng.randrange(len(grid)) for _ in range(1000)):
        alone = net.cost(grid.at(place), size, size).macs(CONVENTION)
        if alone != net.costs(grid.columns(place, place + 1), size, size).macs(CONVENTION)[0]:
            raise SystemExit(f"row {place} must have the same cost alone as in a column")
    if not np.array_equal(counted, one_by_one):
        raise SystemExit("columns and the loop must give the same costs")


if __name__ == "__main__":
    main()
