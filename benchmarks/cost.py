"""Microseconds per cost: each family's closed form against building a network and counting it as it runs.

Run it with `python -m benchmarks.cost`. The costs must agree, or the program stops.
"""

import timeit

import torch

from slimgen.cost.count import count
from slimgen.nets import build_discriminator, build_generator, discriminator_cost, generator_cost
from slimgen.nets.cf_gan.space import Shape, trellis_space

SIZE = 256
GENERATORS = {"resnet": 3, "mobile_resnet": 3, "unet": 3, "trellis": 3, "spade": 36, "mobile_spade": 36}
GENERATORS |= {"srresnet": 3, "rrdbnet": 3, "srvgg": 3}
DISCRIMINATORS = {"patchgan": 6, "multiscale": 39, "vgg_style": 3, "unet_sn": 3}
"""Family to the channels of its input."""


def microseconds(call, number):
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def main():
    print(f"torch {torch.__version__}, images of {SIZE} x {SIZE}, best of 5")
    print(f"{'family':<12}{'closed form':>14}{'build and count':>18}   MACs (torchprofile)")
    families = [(family, build_generator, generator_cost, inputs) for family, inputs in GENERATORS.items()]
    families += [(family, build_discriminator, discriminator_cost, inputs) for family, inputs in DISCRIMINATORS.items()]
    for family, build, cost, inputs in families:
        options: dict[str, object] = {"inputs": inputs}
        if family == "trellis":
            options["genotype"] = trellis_space(Shape()).largest()

        def closed(family=family, cost=cost, options=options):
            return cost(family, SIZE, SIZE, **options)

        def counted(family=family, build=build, inputs=inputs, options=options):
            net = build(family, **options)
            with torch.device("meta"):  # shapes without values: the fastest way to count
                return count(net.to("meta"), torch.empty(1, inputs, SIZE, SIZE))

        if closed() != counted():
            raise SystemExit(f"{family}: the closed form must agree with counting; got {closed()} and {counted()}")
        fast, slow = microseconds(closed, 200), microseconds(counted, 2)
        print(f"{family:<12}{fast:>11.1f} us{slow:>15.1f} us   {closed().torchprofile:,}")


if __name__ == "__main__":
    main()
