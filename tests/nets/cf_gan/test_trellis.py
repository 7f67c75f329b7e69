import itertools
import random
from dataclasses import asdict

import pytest
import torch

from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.cf_gan.layers import strength, written
from slimgen.nets.cf_gan.space import Shape, parse_path, paths
from slimgen.nets.cf_gan.superdiscriminator import SuperDiscriminator, walk
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.initial import initialise
from slimgen.nets.supernet import Gates
from slimgen.search import Genotype

SHAPE = Shape(ngf=8, groups=3, blocks=2)


@pytest.fixture(scope="module")
def trellis() -> Trellis:
    net = initialise(Trellis(SHAPE), 0)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for scale in net.scale_factors():
            scale.copy_(torch.randn(scale.shape, generator=generator))
    return net


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(2))


def samples(trellis: Trellis, number: int) -> list[Genotype]:
    rng = random.Random(0)
    return [trellis.space.largest(), trellis.space.smallest(), *(trellis.space.sample(rng) for _ in range(number))]


def test_three_groups_have_the_four_paths_of_growing_resolution() -> None:
    assert paths(3) == [(4, 4, 4), (4, 4, 2), (4, 2, 2), (4, 2, 1)]
    assert paths(1) == [(4,)]
    assert all(path[0] == 4 and all(b in (a, a // 2) for a, b in itertools.pairwise(path)) for path in paths(5))


def test_size_of_the_space_is_its_product_with_conditions(trellis: Trellis) -> None:
    ratios, blocks = 4, 6
    # Each block: a Conv3x3 has no inner width, the others have four; each climb brings one trunk width.
    climbs = sum(ratios ** sum(a != b for a, b in itertools.pairwise(path)) for path in paths(3))
    assert trellis.space.size == climbs * (1 + 2 * ratios) ** blocks * ratios**5


def test_supernet_equals_its_extraction_on_fifty_random_genotypes(trellis: Trellis, images: torch.Tensor) -> None:
    with torch.no_grad():
        for genotype in samples(trellis, 50):
            difference = trellis(images, genotype) - trellis.extract(genotype)(images)
            assert difference.abs().max() < 1e-5


def test_closed_form_cost_equals_the_count_on_fifty_random_genotypes(trellis: Trellis, images: torch.Tensor) -> None:
    for genotype in samples(trellis, 50):
        assert trellis.cost(genotype, 16, 24) == count(trellis.extract(genotype), images[:1])


def test_extracted_network_shares_nothing_with_the_supernet(trellis: Trellis) -> None:
    for genotype in samples(trellis, 3):
        small = trellis.extract(genotype)
        own = {parameter.data_ptr() for parameter in trellis.parameters()}
        assert own.isdisjoint(parameter.data_ptr() for parameter in small.parameters())
        assert not any(isinstance(module, Trellis) for module in small.modules())
        assert sum(parameter.numel() for parameter in small.parameters()) == trellis.cost(genotype, 16, 16).params


def test_one_hot_gates_equal_the_genotype(trellis: Trellis, images: torch.Tensor) -> None:
    genotype = trellis.space.largest()
    gates = Gates.uniform(trellis.space, genotype, "operator.")
    corner = Gates(
        genotype,
        gates.options,
        {
            name: torch.tensor([float(option == genotype[name]) for option in options])
            for name, options in gates.options.items()
        },
    )
    with torch.no_grad():
        assert torch.allclose(trellis(images, corner), trellis(images, genotype), atol=1e-5)
        assert not torch.allclose(trellis(images, gates), trellis(images, genotype), atol=1e-3)


def test_gradients_reach_the_probabilities_of_gates(trellis: Trellis, images: torch.Tensor) -> None:
    gates = Gates.uniform(trellis.space, trellis.space.largest(), "operator.")
    logits = {name: value.clone().requires_grad_() for name, value in gates.probabilities.items()}
    trellis(images, Gates(gates.at, gates.options, logits)).square().mean().backward()
    assert all(logit.grad is not None and logit.grad.abs().sum() > 0 for logit in logits.values())


def test_narrow_stem_keeps_the_channels_of_largest_scale_factor(trellis: Trellis) -> None:
    genotype = trellis.space.canonical({**trellis.space.largest(), "channel.stem": 0.5})
    order = trellis.stem.norm.weight.abs().argsort(descending=True)[:4].sort().values
    assert torch.equal(trellis.extract(genotype).stem.conv.weight, trellis.stem.conv.weight[order])
    # Whoever reads the stem keeps the same channels: the first downsampling, and the climb to the full size.
    assert torch.equal(trellis.extract(genotype).downs[0].conv.weight, trellis.downs[0].conv.weight[:, order])


def test_gradient_of_a_narrow_architecture_reaches_only_its_channels(trellis: Trellis, images: torch.Tensor) -> None:
    trellis.zero_grad()
    genotype = trellis.space.canonical({**trellis.space.largest(), "channel.stem": 0.5})
    trellis(images, genotype).square().mean().backward()
    rows = trellis.stem.conv.weight.grad.abs().sum((1, 2, 3)) > 0
    assert rows.sum() == 4
    trellis.zero_grad()


def test_generator_is_built_again_from_its_options(trellis: Trellis, images: torch.Tensor) -> None:
    genotype = samples(trellis, 5)[-1]
    small = trellis.extract(genotype)
    options = {"genotype": genotype.to_json(), **asdict(SHAPE)}
    again = build_generator("trellis", **options)
    again.load_state_dict(small.state_dict())
    with torch.no_grad():
        assert torch.equal(again(images), small(images))
    assert generator_cost("trellis", 16, 24, **options) == trellis.cost(genotype, 16, 24)


def test_genotype_of_another_space_is_refused_by_name(trellis: Trellis) -> None:
    with pytest.raises(SlimgenError, match=r"operator\.g0b0"):
        trellis.extract(trellis.space.largest().replace({"operator.g0b0": "conv5x5"}))


def test_every_discriminator_path_scores_patches_of_one_size() -> None:
    net = initialise(SuperDiscriminator(3, ndf=4), 0)
    pairs = torch.randn(2, 6, 32, 32)
    for path in paths(3):
        assert net(pairs, path).shape == (2, 1, 4, 4)


def test_a_discriminator_path_uses_exactly_the_modules_of_its_walk() -> None:
    net = initialise(SuperDiscriminator(3, ndf=4), 0)
    for path in paths(3):
        net.zero_grad(set_to_none=True)
        net(torch.randn(1, 6, 16, 16), path).sum().backward()
        used = {id(parameter) for parameter in net.parameters() if parameter.grad is not None}
        assert used == {id(weight) for name in walk(path) for weight in net.get_submodule(name).parameters()}


def test_a_path_can_be_parsed_from_its_name() -> None:
    assert parse_path("4-2-1") == (4, 2, 1)


def test_a_trunk_channel_is_ranked_by_all_that_write_it(trellis: Trellis) -> None:
    whole = trellis.space.largest()
    writers = trellis.writers(whole)
    # Path 4-2-1: what climbs in and its skip, and the last convolution of each block.
    assert [len(writers[name]) for name in ("stem", "g0", "g1", "g2", "end1")] == [1, 3, 4, 4, 2]
    assert len(writers["g0b0.resblock"]) == 1
    dws = trellis.writers(whole.replace({"operator.g0b0": "dws"}))
    assert len(dws["g0b0.dws"]) == 2  # the pointwise convolution and the depthwise one
    climb = trellis.climbs["g1s2"]
    gammas = [climb.body.norm.weight] + [
        trellis.get_submodule(f"nodes.g1s2.{n}.resblock.chain.1.norm").weight for n in (0, 1)
    ]
    lengths = [climb.skip.weight.flatten(1).norm(dim=1), *(gamma.abs() for gamma in gammas)]
    assert torch.allclose(strength(writers["g1"]), torch.stack(lengths).square().sum(0).sqrt())


@pytest.mark.parametrize("operator", ["dws", "conv3x3", "resblock"])
@pytest.mark.parametrize("path", ["4-4-4", "4-4-2", "4-2-2", "4-2-1"])
def test_removing_channels_that_nothing_writes_leaves_the_output_unchanged(path, operator, images) -> None:
    net = initialise(Trellis(SHAPE), 3)
    with torch.no_grad():
        noise = torch.Generator().manual_seed(4)
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=noise))
    widest = {name: dimension.largest for name, dimension in net.space.items()}
    blocks = {name: operator for name in net.space if name.startswith("operator.")}
    whole = net.space.canonical({**widest, "path": path, **blocks})
    half = net.space.canonical({**widest, "path": path, **blocks, **{n: 0.5 for n in net.space if "channel" in n}})
    with torch.no_grad():
        for writers in net.writers(whole).values():
            dead = torch.randperm(len(written(writers[0])[0]), generator=noise)[::2]
            for parameter in (parameter for writer in writers for parameter in written(writer)):
                parameter[dead] = 0
        before, after = net.extract(whole), net.extract(half)
        assert sum(p.numel() for p in after.parameters()) < 0.4 * sum(p.numel() for p in before.parameters())
        assert torch.allclose(before(images), after(images), atol=1e-5)


@pytest.mark.parametrize("path", ["4-4-4", "4-4-2", "4-2-2", "4-2-1"])
def test_sorting_channels_changes_no_output_and_then_keeps_the_first(path: str, images: torch.Tensor) -> None:
    net = initialise(Trellis(SHAPE), 5)
    with torch.no_grad():
        noise = torch.Generator().manual_seed(6)
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=noise))
    space = net.space.narrow({"path": [path]})
    rng = random.Random(7)
    whole = [space.largest(), *(space.sample(rng) for _ in range(3))]
    widths = {name: 1.0 for name in space if name.startswith("channel.")}
    whole = [space.canonical({**genotype, **widths}) for genotype in whole]
    with torch.no_grad():
        before = [net(images, genotype) for genotype in whole]
        net.sort_channels(path)
        for genotype, wanted in zip(whole, before, strict=True):
            assert torch.allclose(net(images, genotype), wanted, atol=1e-4)
        every = Gates.uniform(space, whole[0], "operator.")
        for writers in net.writers(every).values():
            order = strength(writers)
            assert torch.equal(order, order.sort(descending=True).values)
        for genotype in (space.sample(rng) for _ in range(5)):
            small = net.extract(genotype)
            assert torch.allclose(net(images, genotype), small(images), atol=1e-5)
            width = len(small.stem.conv.weight)
            assert torch.equal(small.stem.conv.weight, net.stem.conv.weight[:width])


def test_widths_are_multiples() -> None:
    shape = Shape(ngf=24, multiple=8)
    assert [shape.channels(ratio, 1) for ratio in (0.1, 0.33, 0.67, 1.0)] == [8, 8, 16, 24]
    assert all(shape.channels(ratio, scale) % 8 == 0 for ratio in (0.1, 0.3, 0.5, 1.0) for scale in (1, 2, 4))
