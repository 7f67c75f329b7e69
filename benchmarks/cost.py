"""Microseconds per count: the closed form of each family against counting a network that is built and run.

Run with `python benchmarks/cost.py`. The counts themselves must agree, or the program stops.
"""

import timeit

import torch

from slimgen.cost.count import count
from slimgen.nets import (
    DISCRIMINATORS,
    GENERATORS,
    build_discriminator,
    build_generator,
    discriminator_cost,
    generator_cost,
)

SIZE = 256


def microseconds(call, number):
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def main():
    print(f"torch {torch.__version__}, images of {SIZE} x {SIZE}, best of 5")
    print(f"{'family':<12}{'closed form':>14}{'build and count':>18}   MACs (torchprofile)")
    families = [(family, build_generator, generator_cost, 3) for family in GENERATORS]
    families += [(family, build_discriminator, discriminator_cost, 6) for family in DISCRIMINATORS]
    for family, build, cost, inputs in families:

        def closed(family=family, cost=cost):
            return cost(family, SIZE, SIZE)

        def counted(family=family, build=build, inputs=inputs):
            with torch.device("meta"):  # shapes without numbers: the fastest that counting can be
                return count(build(family), torch.empty(1, inputs, SIZE, SIZE))

        if closed() != counted():
            raise SystemExit(f"{family}: the closed form says {closed()}, counted are {counted()}")
        fast, slow = microseconds(closed, 200), microseconds(counted, 2)
        print(f"{family:<12}{fast:>11.1f} us{slow:>15.1f} us   {closed().torchprofile:,}")


if __name__ == "__main__":
    main()
