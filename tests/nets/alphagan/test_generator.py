import random

import pytest
import torch
from torch import nn

from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.nets import build_generator, generator_cost, noise_length
from slimgen.nets.alphagan.description import PUBLISHED, SPACE, AlphaShape, Edge, alphagan_space
from slimgen.nets.alphagan.generator import Up
from slimgen.nets.alphagan.supernet import AlphaSupernet, mixed_normal
from slimgen.nets.initial import initialise
from slimgen.nets.noise import NORMAL, Normal, key_of, normal_rows
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.supernet import Gates
from slimgen.search import Choice, Genotype, Space

SMALL = {"channels": 6, "latent": 5, "size": 16}
# Parameters, MACs (torchprofile) and MACs (exact), as published or counted by others.
ALPHAGAN_S = (2_952_707, 1_311_145_984, 744_914_944)


def supernet(interpolation: str = "plain", **options: bool) -> AlphaSupernet:
    """A small one, its running statistics moved as if it had been trained."""
    net = initialise(AlphaSupernet(AlphaShape(**SMALL, interpolation=interpolation), **options), 0)
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def noise(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, SMALL["latent"], generator=torch.Generator().manual_seed(seed))


def samples(number: int) -> list[Genotype]:
    rng = random.Random(0)
    return [*PUBLISHED.values(), *(SPACE.sample(rng) for _ in range(number))]


def test_the_space_has_the_size_that_the_paper_counts() -> None:
    assert SPACE.size == (6**3 * 3**2) ** 3 * 3**3
    assert alphagan_space(deconvolution=False).size == (6**3 * 2**2) ** 3 * 2**3


def test_the_published_small_generator_has_the_published_cost() -> None:
    cost = generator_cost("alphagan_s", 32, 32)
    assert (cost.params, cost.torchprofile, cost.exact) == ALPHAGAN_S
    assert generator_cost("alphagan", 32, 32, genotype=PUBLISHED["alphagan_s"]) == cost


@pytest.mark.parametrize(
    ("family", "size", "params"),
    [
        ("alphagan_s", 32, 2.953e6),
        ("alphagan_s", 48, 3.613e6),
        ("alphagan_l", 32, 8.618e6),
        ("alphagan_l", 48, 9.279e6),
    ],
)
def test_the_published_generators_have_the_parameters_of_table_2(family: str, size: int, params: float) -> None:
    assert generator_cost(family, size, size).params == pytest.approx(params, abs=500)


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("family", ["alphagan_s", "alphagan_l", "sngan"])
def test_the_cost_of_a_family_in_closed_form_is_the_counted_one(family: str, size: int) -> None:
    with torch.device("meta"):
        net = build_generator(family, size=size)
        counted = count(net, torch.empty(1, 128))
    assert generator_cost(family, size, size) == counted


@pytest.mark.parametrize("interpolation", ["plain", "learned"])
def test_the_cost_of_any_genotype_in_closed_form_is_the_counted_one(interpolation: str) -> None:
    net = supernet(interpolation=interpolation)
    for genotype in samples(6):
        assert net.cost(genotype, 16, 16) == count(net.extract(genotype), noise()[:1])


@pytest.mark.parametrize("options", [{}, {"interpolation": "learned"}, {"recompute": True}])
def test_the_supernet_at_a_genotype_and_at_its_corner_is_the_extracted_generator(options: dict[str, object]) -> None:
    net = supernet(**options)
    for genotype in samples(3):
        alone = net.extract(genotype)
        images = alone(noise())
        assert images.shape == (3, 3, 16, 16)
        assert images.abs().max() <= 1
        assert torch.allclose(net(noise(), genotype), images, atol=1e-5)
        assert torch.allclose(net(noise(), Gates.corner(net.space, genotype)), images, atol=1e-5)
        assert not set(map(id, alone.parameters())) & set(map(id, net.parameters()))


def test_the_variant_without_deconvolutions_has_none() -> None:
    net = supernet(deconvolution=False)
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in net.modules())
    genotype = net.space.largest()
    assert torch.allclose(net(noise(), genotype), net.extract(genotype)(noise()), atol=1e-5)
    with pytest.raises(SlimgenError, match="deconv"):
        net.extract(PUBLISHED["alphagan_s"])


def test_norms_have_scales_of_their_own_only_once_extracted() -> None:
    net = supernet()
    operations = [m for m in net.edges.modules() if isinstance(m, nn.BatchNorm2d)]
    assert operations
    assert all(norm.weight is None for norm in operations)
    extracted = [m for m in net.extract(PUBLISHED["alphagan_s"]).edges.modules() if isinstance(m, nn.BatchNorm2d)]
    assert extracted
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in extracted)


def test_gradients_reach_every_logit_and_every_weight_and_do_not_depend_on_recomputing() -> None:
    found = []
    for recompute in (False, True):
        net = initialise(AlphaSupernet(AlphaShape(**SMALL), recompute=recompute), 0)
        relaxation = Relaxation(net.space, seed=0)
        torch.manual_seed(0)
        net(noise(), relaxation.gates(0)).square().sum().backward()
        found.append([p.grad for part in (relaxation, net) for p in part.parameters()])
        moved = [module.num_batches_tracked.item() for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        assert set(moved) == {1}
        assert all(gradient is not None for gradient in found[-1])
    for kept, again in zip(*found, strict=True):
        assert torch.allclose(kept, again, atol=1e-7)


@pytest.mark.parametrize("recompute", [False, True])
def test_convolutions_mixed_as_kernels_are_the_weighted_sum_of_their_outputs(recompute: bool) -> None:
    space = Space({"edge": Choice(NORMAL)})
    operations = initialise(
        nn.ModuleDict({option: Normal(normal_rows(option, 3, 3, norm="plain batch")) for option in NORMAL}), 0
    )
    for bias in (parameter for name, parameter in operations.named_parameters() if name.endswith("bias")):
        nn.init.normal_(bias)
    features = torch.randn(2, 3, 6, 6, requires_grad=True)
    relaxation = Relaxation(space, seed=0, spread=1.0)
    weights = relaxation.gates(0).probabilities["edge"]
    plain = sum(weight * operations[option](features) for option, weight in zip(NORMAL, weights, strict=True))
    of = [features, *relaxation.parameters(), *operations.parameters()]
    expected = torch.autograd.grad(plain.square().sum(), of)
    merged = mixed_normal(relaxation.gates(0), "edge", features, operations, recompute)
    assert torch.allclose(merged, plain, atol=1e-5)
    for one, other in zip(torch.autograd.grad(merged.square().sum(), of), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def test_sampled_gates_run_one_operation_of_each_edge() -> None:
    net = supernet()
    relaxation = Relaxation(net.space, seed=0, kind="sampled")
    gates, ran = relaxation.detached(0), []
    for name, operations in net.edges.items():
        for option, operation in operations.items():
            operation.register_forward_hook(lambda *_, which=(name, option): ran.append(which))
    images = net(noise(), gates)
    assert sorted(ran) == sorted((key_of(name), str(option)) for name, option in gates.at.items())
    assert torch.allclose(images, net.extract(gates.at)(noise()), atol=1e-5)


def test_normal_operations_begin_with_a_relu_and_separable_ones_are_two_of_each_layer() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 3, 6, 6)
    for name in NORMAL:
        operation, kernel = Normal(normal_rows(name, 3, 3)).eval(), int(name[-1])
        convs = [layer for layer in operation.modules() if isinstance(layer, nn.Conv2d)]
        for layer in convs:
            nn.init.normal_(layer.weight, std=0.3)
        out = features
        if name.startswith("conv"):
            (conv,) = convs
            out = nn.functional.conv2d(out.relu(), conv.weight, conv.bias, padding=kernel // 2)
        else:
            for deep, point in (convs[:2], convs[2:]):
                out = nn.functional.conv2d(out.relu(), deep.weight, padding=kernel // 2, groups=3)
                # A fresh norm in evaluation divides by the root of 1 + epsilon.
                out = nn.functional.conv2d(out, point.weight) / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(operation(features), out, rtol=1e-4, atol=1e-5)
        assert out.std() > 0.01


def test_a_cell_adds_what_its_figure_says() -> None:
    net = build_generator("alphagan_s", **SMALL).eval()
    run = {name: net.edges[key_of(name)] for name in SPACE}
    features, firsts = net.ends.unflatten(net.ends.linear(noise())), []
    for cell, skips in (("cell1", 0), ("cell2", 1), ("cell3", 2)):
        one, three = run[f"{cell}.up"](features), run[f"{cell}.shortcut"](features)
        features = run[f"{cell}.op2"](run[f"{cell}.op1"](one)) + run[f"{cell}.op3"](three)
        for earlier in range(skips):
            features = features + run[f"{cell}.skip{earlier + 1}"](firsts[earlier])
        firsts.append(one)
    norm, _, last, _ = net.ends.image
    assert torch.allclose(net(noise()), last(norm(features).relu()).tanh(), atol=1e-6)


def test_a_skip_over_two_cells_applies_one_transposed_convolution_twice() -> None:
    up = Up(Edge("skip", 4, 1), "deconv", AlphaShape(channels=2))
    features = torch.randn(1, 2, 3, 3)
    assert len(list(up.parameters())) == 2
    assert torch.equal(up(features), up.conv(up.conv(features)))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_a_learned_interpolation_is_the_interpolation_of_a_1x1_convolution_in_either_order(mode: str) -> None:
    up = Up(Edge("up", 2, 1), mode, AlphaShape(channels=2, interpolation="learned"))
    features = torch.randn(1, 2, 5, 5)
    after = up.conv(nn.functional.interpolate(features, scale_factor=2, mode=mode))
    assert torch.allclose(up(features), after, atol=1e-6)


def test_the_length_of_a_generators_noise_is_known() -> None:
    assert noise_length("alphagan_s") == 128
    assert noise_length("sngan", latent=7) == 7
    assert noise_length("resnet") is None


def test_the_same_seed_builds_the_same_generator() -> None:
    one, same = (build_generator("alphagan", seed=3, genotype=PUBLISHED["alphagan_l"], **SMALL) for _ in range(2))
    assert torch.equal(one.eval()(noise()), same.eval()(noise()))


@pytest.mark.parametrize("family", ["alphagan_s", "sngan"])
def test_sizes_that_do_not_suit_are_refused(family: str) -> None:
    with pytest.raises(SlimgenError, match="multiples of 8"):
        build_generator(family, size=20)
    with pytest.raises(SlimgenError, match="multiples of 8"):
        generator_cost(family, 32, 44)
    with pytest.raises(SlimgenError, match="makes images of 32 x 48"):
        generator_cost(family, 48, 32, size=[32, 48])
    with pytest.raises(SlimgenError, match="makes images of 32 x 32"):
        generator_cost(family, 48, 48, size=32)


def test_genotypes_and_options_that_do_not_exist_are_refused() -> None:
    wrong = {**PUBLISHED["alphagan_s"], "cell1.op1": "conv_9x9"}
    with pytest.raises(SlimgenError, match=r"cell1\.op1"):
        build_generator("alphagan", genotype=wrong)
    with pytest.raises(SlimgenError, match="plain or learned"):
        generator_cost("alphagan_s", 32, 32, interpolation="learnt")
    with pytest.raises(SlimgenError, match="at least 1"):
        build_generator("alphagan_s", channels=0)
