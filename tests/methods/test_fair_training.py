"""Definition 3.1 of CF-GAN, counted where it happens: at the gradients that reach each operator's weights."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from slimgen.data.batches import Pair
from slimgen.device import Compute
from slimgen.methods.cf_gan import judged as along_its_path
from slimgen.methods.cf_gan import widest
from slimgen.methods.cf_gan.options import SupernetOptions
from slimgen.nets.cf_gan.space import OPERATORS, Shape, parse_path, paths
from slimgen.nets.cf_gan.superdiscriminator import SuperDiscriminator, walk
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.initial import initialise
from slimgen.recipe import Recipe, Schedule
from slimgen.tasks.gan import GanTraining
from slimgen.tasks.paired import Paired
from slimgen.training.draws import fair, unfair
from slimgen.training.fit import Phase, fit

SHAPE = Shape(ngf=4, blocks=2)
WAYS = paths(SHAPE.groups)
CPU = Compute(torch.device("cpu"), channels_last=False)
LENGTH = {"updates": 1}
RECIPE = Recipe.from_values(
    {"name": "r", "task": "paired", "method": "cf_gan", "size": 16, "teach": LENGTH, "finetune": LENGTH}
)


class Gradients:
    """Counts the backward passes that reach each operator of each layer, by path."""

    def __init__(self, generator: Trellis) -> None:
        self.path: tuple[int, ...] = ()
        self.counts: Counter[tuple[tuple[int, ...], str, str]] = Counter()
        for node, blocks in generator.nodes.items():
            for place, block in enumerate(blocks):
                for name, operator in block.items():
                    weight = next(operator.parameters())
                    weight.register_hook(self.counter(f"{node}b{place}", name))

    def counter(self, layer: str, operator: str):
        def count(gradient: Tensor) -> None:
            assert gradient.abs().sum() > 0
            self.counts[self.path, layer, operator] += 1

        return count


def weights_of(discriminator: SuperDiscriminator, path) -> list[Tensor]:
    return [weight for name in walk(path) for weight in discriminator.get_submodule(name).parameters()]


def train(draw_of, cycles: int) -> tuple[Gradients, Counter, Counter]:
    generator = initialise(Trellis(SHAPE), 0)
    discriminator = initialise(SuperDiscriminator(SHAPE.groups, 4), 1)
    gradients, generators, discriminators = Gradients(generator), Counter(), Counter()
    before = {path: [weight.clone() for weight in weights_of(discriminator, path)] for path in WAYS}

    def generate(images: Tensor, arch, memo) -> Tensor:
        gradients.path = parse_path(arch["path"])
        return generator(images, arch)

    def moved(phase: Phase, archs) -> None:
        generators[parse_path(archs[0]["path"])] += 1

    def judged(phase: Phase, archs) -> None:
        path = parse_path(archs[0]["path"])
        weights = weights_of(discriminator, path)
        assert any(not torch.equal(old, new) for old, new in zip(before[path], weights, strict=True))
        before[path] = [weight.clone() for weight in weights]
        discriminators[path] += 1

    steps = cycles * len(WAYS)
    draw = draw_of(generator.space, widest(generator.space), 0)
    training = GanTraining(
        "fair",
        generator,
        discriminator,
        Schedule(updates=steps),
        steps,
        generate=generate,
        discriminate=along_its_path(discriminator, SupernetOptions(updates=1)),
        draw=draw,
        after_generator=moved,
        after_discriminator=judged,
    )
    phases, _ = Paired(RECIPE, CPU).phases(training)
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pair = Pair(images, images.flip(0))
    fit(phases, draw, {"train": lambda step: pair}, steps, seed=0, compute=CPU, state={})
    return gradients, generators, discriminators


def layers(path: tuple[int, ...]) -> list[str]:
    return [f"g{group}s{scale}b{block}" for group, scale in enumerate(path) for block in range(SHAPE.blocks)]


def test_a_fair_run_reaches_every_operator_of_every_path_equally_often() -> None:
    gradients, generators, discriminators = train(fair, cycles=3)
    for path in WAYS:
        assert generators[path] == discriminators[path] == 3
        for layer in layers(path):
            assert [gradients.counts[path, layer, operator] for operator in OPERATORS] == [3, 3, 3]
    # And nothing else was trained: no layer off its path.
    assert sum(gradients.counts.values()) == sum(3 * 3 * len(layers(path)) for path in WAYS)


def test_a_uniform_run_does_not() -> None:
    gradients, _, _ = train(unfair, cycles=3)
    uneven = [
        (path, layer)
        for path in WAYS
        for layer in layers(path)
        if len({gradients.counts[path, layer, operator] for operator in OPERATORS}) > 1
    ]
    assert len(uneven) > len(WAYS)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_widest_architecture_is_full_on_every_path(groups: int) -> None:
    net = Trellis(Shape(ngf=4, groups=groups, blocks=1))
    at = widest(net.space)
    for path in paths(groups):
        genotype = net.space.canonical({**at, "path": "-".join(map(str, path))})
        extracted = net.extract(genotype)
        trunks = [next(group.parameters()).shape[1] for group in extracted.groups]
        assert trunks == [4 * scale for scale in path]
