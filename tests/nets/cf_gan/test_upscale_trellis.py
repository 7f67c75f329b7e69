"""Contracts of CF-GAN's space for super-resolution, over random genotypes of every scale."""

import itertools
import random
from dataclasses import asdict
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from slimgen.cost.count import count
from slimgen.cost.latency import onnx_session
from slimgen.errors import RecipeError, SlimgenError
from slimgen.export.onnx import export_onnx
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.cf_gan.layers import strength, written
from slimgen.nets.cf_gan.superdiscriminator import SuperDiscriminator, walk
from slimgen.nets.cf_gan.upscale_layers import QUIET, RecursiveBlock, ScaledConvolution
from slimgen.nets.cf_gan.upscale_space import GROUPS, OPERATORS, UpscaleShape, rows_of
from slimgen.nets.cf_gan.upscale_trellis import UpscaleTrellis, _bicubic_kernels, bicubic
from slimgen.nets.initial import initialise
from slimgen.nets.supernet import Gates
from slimgen.search import Genotype, Space

SCALES = (2, 3, 4)
RATIOS = (0.25, 0.5, 0.75, 1.0)


@cache
def shape_of(scale: int) -> UpscaleShape:
    return UpscaleShape(ngf=8, groups=3, blocks=2, scale=scale)


def drawn(scale: int, seed: int) -> UpscaleTrellis:
    """A super-generator whose weights, biases and scales are all drawn, so that every branch shows."""
    net = initialise(UpscaleTrellis(shape_of(scale)), seed)
    noise = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.add_((0.3 if name.endswith("scale") else 0.03) * torch.randn(parameter.shape, generator=noise))
    return net


@cache
def trellis(scale: int) -> UpscaleTrellis:
    return drawn(scale, 0)


@cache
def images(height: int = 5, width: int = 8) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(2)) * 2 - 1


def samples(space: Space, number: int) -> list[Genotype]:
    rng = random.Random(0)
    return [space.largest(), space.smallest(), *(space.sample(rng) for _ in range(number))]


def widest(space: Space, **values: object) -> Genotype:
    return space.canonical({**{name: dimension.largest for name, dimension in space.items()}, **values})


def test_paths_start_at_the_inputs_size_and_only_grow() -> None:
    names = {scale: trellis(scale).space["path"].options for scale in SCALES}
    assert names[4] == ("1-1-1", "1-1-2", "1-2-2", "1-2-4")
    assert names[2] == ("1-1-1", "1-1-2", "1-2-2")
    assert names[3] == ("1-1-1", "1-1-3", "1-3-3")
    assert shape_of(4).parse("1-2-4") == (4, 2, 1)


def test_size_of_the_space_is_its_product_with_conditions() -> None:
    # Each block: three operators, four recursions, four inner widths. Each climb brings one trunk width; g0 and two
    # ends always have theirs.
    space, ratios, blocks = trellis(4).space, len(RATIOS), 6
    paths = [tuple(map(int, str(name).split("-"))) for name in space["path"].options]
    climbs = sum(ratios ** sum(a != b for a, b in itertools.pairwise(path)) for path in paths)
    assert space.size == climbs * (3 * 4 * ratios) ** blocks * ratios**3


@pytest.mark.parametrize("scale", SCALES)
def test_supernet_equals_its_extraction_on_fifty_random_genotypes(scale: int) -> None:
    net = trellis(scale)
    with torch.no_grad():
        for genotype in samples(net.space, 50 if scale == 4 else 5):
            made = net(images(), genotype)
            assert made.shape == (1, 3, 5 * scale, 8 * scale)
            assert (made - net.extract(genotype)(images())).abs().max() < 1e-5


@pytest.mark.parametrize("scale", SCALES)
def test_closed_form_cost_equals_the_count_on_fifty_random_genotypes_at_odd_sizes(scale: int) -> None:
    net, rng = trellis(scale), random.Random(5)
    for genotype in samples(net.space, 50 if scale == 4 else 10):
        height, width = rng.randint(1, 9), rng.randint(1, 9)
        given = torch.zeros(1, 3, height, width)
        assert net.cost(genotype, height, width) == count(net.extract(genotype), given)


def test_the_cost_of_a_small_generator_is_the_sum_of_its_convolutions() -> None:
    shape = UpscaleShape(ngf=4, groups=1, blocks=1, scale=2, ratios=(1.0,))
    genotype = shape.space.canonical(
        {"path": "1", "operator.g0b0": "srb", "recursion.g0b0": 3, "channel.g0": 1.0}
        | {"channel.g0b0": 1.0, "channel.end2": 1.0}
    )
    low, high = 10 * 12, 20 * 24
    block = 8 * 4 + 4 * 4 * 9 + 4 * 8  # to half of 8 channels, 3x3 there, and back
    weights = 3 * 8 * 9, block, 8 * 4 * 9, 4 * 3 * 9  # stem, block, end, output
    biases = 8 + 4 + 4 + 8 + 4 + 3
    cost = generator_cost("upscale_trellis", 10, 12, genotype=genotype, **asdict(shape))
    assert cost.params == sum(weights) + biases
    assert cost.exact == low * (weights[0] + 3 * weights[1]) + high * (weights[2] + weights[3])


def test_operators_are_in_the_order_of_their_costs_at_equal_widths() -> None:
    block = {name: generator_macs(name) for name in OPERATORS}
    assert sorted(block, key=block.__getitem__) == list(OPERATORS)


def generator_macs(operator: str) -> int:
    space = shape_of(4).space
    chosen = {name: operator for name in space if name.startswith("operator.")}
    return trellis(4).cost(widest(space, **chosen), 16, 16).exact


def test_extracted_network_shares_nothing_with_the_supernet_and_has_no_scales() -> None:
    net = trellis(4)
    for genotype in samples(net.space, 3):
        small = net.extract(genotype)
        own = {parameter.data_ptr() for parameter in net.parameters()}
        assert own.isdisjoint(parameter.data_ptr() for parameter in small.parameters())
        assert not any(isinstance(module, (UpscaleTrellis, ScaledConvolution)) for module in small.modules())
        assert sum(parameter.numel() for parameter in small.parameters()) == net.cost(genotype, 8, 8).params


@pytest.mark.parametrize("scale", SCALES)
def test_generator_is_built_again_from_its_options(scale: int) -> None:
    net = trellis(scale)
    genotype = samples(net.space, 5)[-1]
    small = net.extract(genotype)
    options = {"genotype": genotype.to_json(), **asdict(shape_of(scale))}
    again = build_generator("upscale_trellis", **options)
    again.load_state_dict(small.state_dict())
    with torch.no_grad():
        assert torch.equal(again(images()), small(images()))
    assert generator_cost("upscale_trellis", 9, 12, **options) == net.cost(genotype, 9, 12)


def test_one_hot_gates_equal_the_genotype_and_gradients_reach_probabilities() -> None:
    net = trellis(4)
    genotype = widest(net.space, **{"recursion.g0b0": 2})
    gates = Gates.uniform(net.space, genotype, "operator.")
    corner = {
        name: torch.tensor([float(option == genotype[name]) for option in options])
        for name, options in gates.options.items()
    }
    with torch.no_grad():
        alone = net(images(), genotype)
        assert torch.allclose(net(images(), Gates(genotype, gates.options, corner)), alone, atol=1e-5)
        assert not torch.allclose(net(images(), gates), alone, atol=1e-3)
    logits = {name: value.clone().requires_grad_() for name, value in gates.probabilities.items()}
    net(images(), Gates(genotype, gates.options, logits)).square().mean().backward()
    net.zero_grad()
    assert all(logit.grad is not None and logit.grad.abs().sum() > 0 for logit in logits.values())


def test_a_recursion_applies_the_block_again_with_the_same_weights() -> None:
    net, features = trellis(4), torch.randn(1, 32, 5, 7, generator=torch.Generator().manual_seed(3))
    once, thrice = (net.extract(widest(net.space, **{"recursion.g0b1": times})).groups[0][1] for times in (1, 3))
    with torch.no_grad():
        assert torch.allclose(thrice(features), once(once(once(features))), atol=1e-5)
        assert not torch.allclose(thrice(features), once(features), atol=1e-2)
    assert [weight.shape for weight in once.parameters()] == [weight.shape for weight in thrice.parameters()]


def test_only_the_last_convolution_of_a_block_begins_quietly() -> None:
    shape = UpscaleShape(ngf=32, groups=1, blocks=1, scale=4)
    net = initialise(UpscaleTrellis(shape), 0)
    for name in OPERATORS:
        *first, last = net.get_submodule(f"nodes.g0x1.0.{name}").chain
        shares = []
        for layer in (*first, last):
            count, given, *kernel = layer.conv.weight.shape
            glorot = (2 / ((given + count) * prod(kernel))) ** 0.5
            shares.append(float(layer.conv.weight.detach().std()) / glorot)
        assert shares == pytest.approx([1.0] * len(first) + [QUIET], rel=0.1)


def test_blocks_compute_what_they_are_described_to() -> None:
    net = drawn(4, 9)
    blocks = {name: net.get_submodule(f"nodes.g2x4.0.{name}") for name in OPERATORS}
    assert all(isinstance(block, RecursiveBlock) for block in blocks.values())
    wide = torch.randn(1, 8, 6, 7, generator=torch.Generator().manual_seed(4))

    def conv(place: str, given: Tensor, relu: bool = True) -> Tensor:
        name, _, number = place.partition(".")
        layer = blocks[name].chain[int(number)]
        weight, bias = layer.conv.weight, layer.conv.bias
        plain = functional.conv2d(given, weight, padding=weight.shape[-1] // 2, groups=layer.conv.groups)
        out = plain * layer.scale.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)
        return out.relu() if relu else out

    with torch.no_grad():
        shrunk = conv("srb.2", conv("srb.1", conv("srb.0", wide)), relu=False)
        mixed = conv("grb.3", conv("grb.2", conv("grb.1", conv("grb.0", wide))), relu=False)
        # An odd side: its last pixels are averaged alone.
        pooled = torch.stack([wide[..., left : left + 2].unfold(2, 2, 2).mean((3, 4)) for left in (0, 2, 4, 6)], 3)
        context = conv("crb.1", conv("crb.0", pooled), relu=False)
        context = context.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :6, :7]
        for name, branch in (("srb", shrunk), ("grb", mixed), ("crb", context)):
            assert torch.allclose(blocks[name](wide), wide + branch, atol=1e-5), name
    assert [layer.conv.groups for layer in blocks["grb"].chain] == [1, GROUPS, GROUPS, 1]


def test_the_enlarged_input_is_the_output_of_a_generator_whose_last_convolution_is_zero() -> None:
    net = trellis(4).extract(trellis(4).space.largest())
    with torch.no_grad():
        for parameter in net.output.parameters():
            parameter.zero_()
        wanted = functional.interpolate(images(), scale_factor=4, mode="bicubic", align_corners=False)
        assert torch.allclose(net(images()), wanted, atol=2e-6)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bicubic_enlargement_is_torchs_in_its_layout_under_autocast_too(scale, layout) -> None:
    for shape in ((2, 3, 7, 5), (1, 1, 1, 9), (1, 4, 6, 6)):
        pictures = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(memory_format=layout)
        wanted = functional.interpolate(pictures, scale_factor=float(scale), mode="bicubic", align_corners=False)
        with torch.autocast("cpu", torch.bfloat16):
            made = bicubic(pictures, scale)
        assert made.dtype == torch.float32
        assert made.is_contiguous(memory_format=layout)
        assert torch.allclose(made, wanted, atol=3e-6)


def test_bicubic_enlargement_has_gradients_after_an_inference_and_is_counted_as_no_convolution() -> None:
    _bicubic_kernels.cache_clear()
    with torch.inference_mode():
        bicubic(images(), 2)
    pictures = images().double().requires_grad_(True)
    wanted = functional.interpolate(pictures, scale_factor=2.0, mode="bicubic", align_corners=False)
    weights = torch.randn(wanted.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad((made * weights).sum(), pictures)[0] for made in (wanted, bicubic(pictures, 2))]
    assert torch.allclose(*gradients, atol=1e-9)
    assert count(UpscaleOf(2), images()).exact == 0


class UpscaleOf(torch.nn.Module):
    """Bicubic enlargement as a module."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, pictures: Tensor) -> Tensor:
        """Enlarge pictures (N, C, H, W)."""
        return bicubic(pictures, self.factor)


def test_narrow_trunk_keeps_the_channels_of_largest_scale() -> None:
    net = trellis(4)
    genotype = widest(net.space, **{"channel.end4": 0.5})
    kept = strength(net.writers(genotype)["end4"]).argsort(descending=True)[:4].sort().values
    end, small = net.ends[1], net.extract(genotype)
    assert torch.allclose(small.ends[1].conv.weight, end.kernel()[kept])
    assert torch.equal(small.output.weight, net.output.weight[:, kept])


def test_a_grouped_feature_keeps_as_many_channels_in_each_group() -> None:
    net = trellis(4)
    genotype = widest(net.space, **{"operator.g0b0": "grb", "channel.g0b0": 0.5})
    writers = net.writers(genotype)["g0b0.grb"]
    each = strength(writers).view(GROUPS, -1)
    wanted = torch.cat(
        [row.argsort(descending=True)[: len(row) // 2].sort().values + 8 * n for n, row in enumerate(each)]
    )
    entering = net.get_submodule("nodes.g0x1.0.grb.chain.0")
    small = net.extract(genotype).groups[0][0].chain
    assert torch.allclose(small[0].conv.weight, entering.kernel()[wanted])
    assert small[1].conv.weight.shape == (16, 4, 3, 3)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(("scale", "path"), [(4, "1-1-1"), (4, "1-1-2"), (4, "1-2-4"), (3, "1-3-3"), (2, "1-1-2")])
def test_removing_channels_that_nothing_writes_leaves_the_output_unchanged(
    operator: str, scale: int, path: str
) -> None:
    net, noise = drawn(scale, 3), torch.Generator().manual_seed(4)
    blocks = {name: operator for name in net.space if name.startswith("operator.")}
    times = {name: 1 + number % 2 for number, name in enumerate(net.space) if name.startswith("recursion.")}
    whole = widest(net.space, path=path, **blocks, **times)
    half = widest(net.space, path=path, **blocks, **times, **{n: 0.5 for n in net.space if "channel" in n})
    with torch.no_grad():
        for feature, writers in net.writers(whole).items():
            width = len(written(writers[0])[0])
            groups = GROUPS if feature.endswith(".grb") else 1
            dead = torch.cat(
                [
                    start + torch.randperm(width // groups, generator=noise)[::2]
                    for start in range(0, width, width // groups)
                ]
            )
            for parameter in (parameter for writer in writers for parameter in written(writer)):
                parameter[dead] = 0
        before, after = net.extract(whole), net.extract(half)
        assert sum(p.numel() for p in after.parameters()) < 0.4 * sum(p.numel() for p in before.parameters())
        wanted = before(images())
        assert (wanted - after(images())).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("path", ["1-1-1", "1-2-4"])
def test_sorting_channels_changes_no_output_and_then_keeps_the_first(path: str) -> None:
    net = drawn(4, 5)
    space, rng = net.space.narrow({"path": [path]}), random.Random(7)
    widths = {name: 1.0 for name in space if name.startswith("channel.")}
    whole = [space.canonical({**genotype, **widths}) for genotype in samples(space, 3)]
    with torch.no_grad():
        before = [net(images(), genotype) for genotype in whole]
        net.sort_channels(path)
        for genotype, wanted in zip(whole, before, strict=True):
            assert (net(images(), genotype) - wanted).abs().max() < 1e-5 * wanted.abs().max()
        for genotype in (space.sample(rng) for _ in range(5)):
            small = net.extract(genotype)
            assert torch.allclose(net(images(), genotype), small(images()), atol=1e-5)
            kernel = net.stem.kernel()
            assert torch.equal(small.stem.conv.weight, kernel[: len(small.stem.conv.weight)])


def test_gradient_of_a_narrow_architecture_reaches_only_its_channels_and_their_scales() -> None:
    net = drawn(4, 6)
    net(images(), widest(net.space, **{"channel.end4": 0.5})).square().mean().backward()
    end = net.ends[1]
    reached = end.conv.weight.grad.abs().sum((1, 2, 3)) > 0
    assert reached.sum() == 4
    assert torch.equal(end.scale.grad != 0, reached)


def test_features_keep_their_size_through_all_recursions_of_an_untrained_generator() -> None:
    shape = UpscaleShape(ngf=16, groups=4, blocks=4)
    net = initialise(UpscaleTrellis(shape), 0)
    genotype = widest(shape.space, path="1-1-1-1")
    with torch.no_grad():
        small = net.extract(genotype)
        begun = small.stem(images())
        ended = begun
        for group in small.groups:
            ended = group(ended)
    assert 0.5 < ended.std() / begun.std() < 2


def test_the_exported_graph_enlarges_images_of_any_size_as_the_network_does(tmp_path: Path) -> None:
    net = trellis(4).extract(widest(trellis(4).space, path="1-1-2", **{"operator.g0b0": "crb"})).eval()
    file = export_onnx(net, tmp_path / "generator.onnx", height=8, width=12)
    assert file.dynamic == ("batch", "height", "width")
    assert (file.multiple, file.output[1]) == (1, ("batch", 3, "4*height", "4*width"))
    session = onnx_session(file.path.read_bytes(), 1)
    for size in ((5, 8), (7, 9), (16, 3)):
        with torch.no_grad():
            made = net(images(*size)).numpy()
        assert np.abs(session.run(None, {"input": images(*size).numpy()})[0] - made).max() < 1e-4


@pytest.mark.parametrize("scale", SCALES)
def test_every_discriminator_path_scores_patches_of_one_size_with_its_own_modules(scale: int) -> None:
    shape = shape_of(scale)
    net = initialise(SuperDiscriminator(shape.groups, ndf=4, inputs=3, scales=shape.scales), 0)
    for path in shape.paths():
        net.zero_grad(set_to_none=True)
        scores = net(torch.randn(2, 3, 8 * scale, 12 * scale), path)
        assert scores.shape == (2, 1, 4, 6)
        scores.sum().backward()
        used = {id(parameter) for parameter in net.parameters() if parameter.grad is not None}
        assert used == {id(weight) for name in walk(path) for weight in net.get_submodule(name).parameters()}


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"scale": 5}, "must be 2, 3 or 4; got 5"),
        ({"inputs": 1}, "inputs must equal outputs; got inputs 1, outputs 3"),
        ({"recursions": 0}, "recursions of a block must be at least 1; got 0"),
        ({"groups": 0}, "at least one group"),
    ],
)
def test_impossible_shapes_are_refused(options: dict[str, int], rule: str) -> None:
    with pytest.raises(RecipeError, match=rule):
        UpscaleShape(**options)


def test_genotypes_of_other_spaces_are_refused_by_name() -> None:
    with pytest.raises(SlimgenError, match=r"operator\.g0b0"):
        trellis(4).extract(trellis(4).space.largest().replace({"operator.g0b0": "resblock"}))
    with pytest.raises(SlimgenError, match="path"):
        trellis(2).extract(trellis(2).space.largest().replace({"path": "1-2-4"}))


@pytest.mark.parametrize("multiple", [1, 4, 8, 6])
def test_widths_are_multiples_that_groups_divide(multiple: int) -> None:
    shape = UpscaleShape(ngf=24, multiple=multiple)
    widths = [shape.channels(ratio, part) for ratio, part in itertools.product((0.1, 0.3, 0.5, 1.0), (1, 2, 4))]
    assert all(width > 0 and width % multiple == 0 and width % GROUPS == 0 for width in widths)
    grouped = rows_of("grb", 8, shape.channels(0.3, 1), 8, 4, 4)
    assert prod(row.outputs % row.groups == 0 for row in grouped)
