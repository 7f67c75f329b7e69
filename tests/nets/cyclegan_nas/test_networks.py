"""Cells of CycleGANAS: the sizes of its spaces, what its networks cost, mixtures, and what comes out of a supernet."""

import random
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional

from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.export.onnx import export_onnx, parity
from slimgen.nets import build_discriminator, build_generator, discriminator_cost, generator_cost
from slimgen.nets.cyclegan_nas.networks import CellsDiscriminator, CellsGenerator, Supercells
from slimgen.nets.cyclegan_nas.operations import Choices, Convolve, build, merged
from slimgen.nets.cyclegan_nas.space import (
    CONVOLUTIONS,
    OPERATIONS,
    DiscriminatorShape,
    GeneratorShape,
    Padding,
    Slot,
    by_hand,
    chosen,
    space_of,
)
from slimgen.nets.initial import initialise
from slimgen.nets.supernet import Gates
from slimgen.search import Genotype, SpaceError

SMALL = GeneratorShape(hidden=8, cells=4)
ALL_CHOSEN = GeneratorShape(hidden=8, cells=3, ends=True)
JUDGE = DiscriminatorShape(hidden=3)
JUDGE_CHOSEN = DiscriminatorShape(hidden=3, ends=True)
MIRRORED = GeneratorShape(hidden=8, cells=3, ends=True, padding="reflect", activated=False)
OWN = GeneratorShape(hidden=8, cells=3, padding="cyclegan")
SHAPES = (SMALL, ALL_CHOSEN, MIRRORED, OWN, JUDGE, JUDGE_CHOSEN)


def supernet_of(shape, spectral=True):
    return initialise(Supercells(shape, spectral), 3).eval()


def test_the_spaces_are_as_large_as_the_paper_says():
    generator, discriminator = space_of(GeneratorShape()), space_of(DiscriminatorShape())
    assert generator.size == 8**2 * 5**18 * 3**2
    assert f"{generator.size:.1e}" == "2.2e+15"
    assert discriminator.size == 8**4
    assert f"{generator.size**2 * discriminator.size**2:.1e}" == "8.1e+37"


def test_the_authors_code_mixes_twenty_four_operations_of_a_generator_and_five_of_a_discriminator():
    assert len(space_of(GeneratorShape(ends=True))) == 24
    assert len(space_of(DiscriminatorShape(ends=True))) == 5


def test_the_encoder_leaves_the_hidden_width_at_a_quarter_of_the_size():
    row = GeneratorShape(hidden=64).slots
    assert [(slot.inputs, slot.outputs) for slot in row[:4]] == [(3, 16), (16, 32), (32, 64), (64, 64)]
    assert [(slot.inputs, slot.outputs) for slot in row[-3:]] == [(64, 32), (32, 16), (16, 3)]


def test_a_generator_is_a_stem_an_encoder_residual_cells_a_decoder_and_an_output():
    genotype = space_of(GeneratorShape(hidden=8, cells=4)).sample(random.Random(0))
    net = initialise(CellsGenerator(genotype=genotype, hidden=8, cells=4, spectral=False), 0).eval()
    stem, encode0, encode1, *residual, decode0, decode1, output = net.operations
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def active(features: torch.Tensor) -> torch.Tensor:
        return functional.instance_norm(features).relu()

    found = active(encode1(active(encode0(active(stem(images))))))
    for one, two in (residual[:2], residual[2:]):
        found = found + active(two(active(one(found))))
    found = output(active(decode1(active(decode0(found))))).tanh()
    torch.testing.assert_close(net(images), found, rtol=1e-4, atol=1e-5)


def test_a_discriminator_is_four_operations_without_a_norm_behind_the_first_and_scores():
    genotype = space_of(JUDGE).sample(random.Random(0))
    net = initialise(CellsDiscriminator(genotype=genotype, hidden=3, spectral=False), 0).eval()
    first, *others, output = net.operations
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = functional.leaky_relu(first(images), 0.2)
    for operation in others:
        found = functional.leaky_relu(functional.instance_norm(operation(found)), 0.2)
    assert len(others) == 3
    torch.testing.assert_close(net(images), output(found), rtol=1e-4, atol=1e-5)


def test_other_operations_are_pooling_or_enlargement_and_a_pointwise_convolution():
    images = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    wanted = {
        "max_pool": functional.max_pool2d(images, 2),
        "avg_pool": functional.avg_pool2d(images, 2),
        "nearest": functional.interpolate(images, scale_factor=2, mode="nearest"),
        "bilinear": functional.interpolate(images, scale_factor=2, mode="bilinear"),
    }
    for kind in ("encoding", "decoding"):
        for option in (option for option in OPERATIONS[kind] if option in wanted):
            operation = build(Slot("x", kind, OPERATIONS[kind], 2, 3), option, spectral=False)
            pointwise = functional.conv2d(wanted.pop(option), operation.conv.weight, operation.conv.bias)
            torch.testing.assert_close(operation(images), pointwise)
    assert not wanted


def test_closed_form_costs_equal_the_counts():
    rng = random.Random(0)
    for _ in range(12):
        shape = {"cells": rng.randint(2, 4), "hidden": rng.randint(4, 40), "ends": rng.random() < 0.5}
        shape |= {"inputs": rng.randint(1, 4), "outputs": rng.randint(1, 4)}
        shape |= {"padding": rng.choice(get_args(Padding)), "activated": rng.random() < 0.5}
        genotype = space_of(GeneratorShape(**shape)).sample(rng)
        height, width = (4 * rng.randint(5, 20) for _ in range(2))
        options = {**shape, "genotype": genotype.to_json(), "spectral": rng.random() < 0.5}
        with torch.device("meta"):
            counted = count(CellsGenerator(**options), torch.empty(1, shape["inputs"], height, width))
        assert generator_cost("cyclegan_nas", height, width, **options) == counted, options
    for _ in range(10):
        shape = {"hidden": rng.randint(1, 20), "inputs": rng.randint(1, 6), "ends": rng.random() < 0.5}
        genotype = space_of(DiscriminatorShape(**shape)).sample(rng)
        options = {**shape, "genotype": genotype.to_json(), "spectral": rng.random() < 0.5}
        height, width = (16 * rng.randint(2, 8) for _ in range(2))
        with torch.device("meta"):
            counted = count(CellsDiscriminator(**options), torch.empty(1, shape["inputs"], height, width))
        assert discriminator_cost("cyclegan_nas", height, width, **options) == counted, options


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spectral", [True, False])
def test_an_extracted_network_equals_the_supernets_and_has_the_given_cost(shape, spectral):
    net, rng = supernet_of(shape, spectral), random.Random(1)
    x = torch.rand(2, 3, 32, 48) * 2 - 1
    for _ in range(6):
        genotype = net.space.sample(rng)
        small = net.extract(genotype)
        with torch.no_grad():
            torch.testing.assert_close(small(x), net(x, genotype), atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(small(x), net(x, Gates.corner(net.space, genotype)), atol=1e-5, rtol=1e-5)
        assert net.cost(genotype, 32, 48) == count(small, x[:1])
        assert not any("parametrizations" in name for name in small.state_dict())


def test_the_first_and_the_last_option_everywhere_are_corners_too():
    net, x = supernet_of(SMALL), torch.rand(1, 3, 16, 16)
    for genotype in (net.space.smallest(), net.space.largest()):
        with torch.no_grad():
            torch.testing.assert_close(net.extract(genotype)(x), net(x, Gates.corner(net.space, genotype)))


@pytest.mark.parametrize("spectral", [True, False])
def test_an_extracted_network_is_one_that_its_family_builds(spectral):
    net = supernet_of(SMALL, spectral)
    genotype = net.space.sample(random.Random(2))
    small = net.extract(genotype)
    options = {"genotype": genotype.to_json(), "hidden": 8, "cells": 4}
    again = build_generator("cyclegan_nas", spectral=False, **options).eval()
    again.load_state_dict(small.state_dict())
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(x), small(x))


def test_folding_spectral_norms_does_not_change_the_outputs():
    genotype = space_of(SMALL).sample(random.Random(4))
    net = build_generator("cyclegan_nas", genotype=genotype, hidden=8, cells=4)
    x = torch.rand(1, 3, 16, 16)
    net(x)  # a power iteration, as in training
    plain = net.folded()
    with torch.no_grad():
        torch.testing.assert_close(plain(x), net.eval()(x), atol=1e-6, rtol=1e-5)
    assert any("parametrizations" in name for name in net.state_dict())
    same = build_generator("cyclegan_nas", genotype=genotype, hidden=8, cells=4, spectral=False)
    same.load_state_dict(plain.state_dict())


def test_every_spectral_norm_is_one_before_anything_is_learned():
    net = supernet_of(JUDGE)
    for part in net.modules():
        if isinstance(part, nn.Conv2d) and part.weight.shape[0] > 1:
            assert torch.linalg.matrix_norm(part.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("kind", ["encoding", "residual"])
@pytest.mark.parametrize("padding", get_args(Padding))
def test_a_mixture_of_convolutions_is_the_weighted_sum_of_their_outputs(kind, padding):
    slot = Slot("here", kind, OPERATIONS[kind], 3, 4, padding=padding)
    choices = initialise(Choices(slot, spectral=False), 0)
    for part in choices.values():
        nn.init.normal_(part.conv.bias)
    names = [name for name in slot.options if name in CONVOLUTIONS]
    weights = torch.linspace(-1, 2, len(names)).requires_grad_()
    x = torch.rand(2, 3, 16, 24)
    together = merged(x, [(choices[name], weight) for name, weight in zip(names, weights, strict=True)])
    apart = sum(weight * choices[name](x) for name, weight in zip(names, weights, strict=True))
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)
    probe = torch.rand_like(apart)
    found = torch.autograd.grad((together * probe).sum(), [weights, *choices[names[0]].parameters()])
    wanted = torch.autograd.grad((apart * probe).sum(), [weights, *choices[names[0]].parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def test_a_mixture_is_the_weighted_sum_of_all_operations_of_its_slot():
    for kind in OPERATIONS:
        slot = Slot("here", kind, OPERATIONS[kind], 3, 4)
        choices = initialise(Choices(slot, spectral=True), 0).eval()
        logits = torch.linspace(-1, 1, len(slot.options))
        gates = Gates(Genotype({}), {"here": slot.options}, {"here": logits.softmax(0)})
        x = torch.rand(1, 3, 16, 16)
        with torch.no_grad():
            parts = [choices[name](x) for name in slot.options]
            wanted = sum(weight * part for weight, part in zip(logits.softmax(0), parts, strict=True))
            torch.testing.assert_close(choices.run(x, gates), wanted, atol=1e-5, rtol=1e-5)


def test_one_pixel_of_the_padding_is_reflected_and_the_rest_is_zero():
    part = Convolve(Slot("here", "residual", ("conv7x7",), 1, 5), "conv7x7")
    nn.init.ones_(part.conv.weight)
    nn.init.zeros_(part.conv.bias)
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 1, 1] = 1
    # The corner sees the pixel itself, and in each direction its image in the reflected ring: a factor of two.
    assert part(image)[0, 0, 0, 0] == 4
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 2, 2] = 1  # its reflections would be two pixels outside, where there are zeros
    assert part(image)[0, 0, 0, 0] == 1


KINDS = [("residual", option) for option in OPERATIONS["residual"]] + [("encoding", option) for option in CONVOLUTIONS]


@pytest.mark.parametrize(("kind", "option"), KINDS)
def test_padding_by_mirrored_pixels_alone_reads_no_zeros(kind, option):
    part = Convolve(Slot("here", kind, (option,), 1, 1, padding="reflect"), option)
    nn.init.ones_(part.conv.weight)
    nn.init.zeros_(part.conv.bias)
    flat = part(torch.ones(1, 1, 8, 8))  # with no zero among the taps, every pixel sees as many ones as there are taps
    side = 8 if kind == "residual" else 4
    assert flat.shape[-2:] == (side, side)
    assert flat.unique().tolist() == [CONVOLUTIONS[option][0] ** 2]


def test_cyclegans_own_operations_in_a_frame_like_its_own_are_its_generator():
    frame = {"hidden": 16, "cells": 4, "padding": "cyclegan", "activated": False}
    genotype = by_hand(GeneratorShape(**frame))
    cells = build_generator("cyclegan_nas", seed=3, genotype=genotype, spectral=False, **frame).eval()
    plain = build_generator("resnet", seed=3, ngf=4, blocks=2).eval()
    own, other = (
        [part for part in net.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)] for net in (cells, plain)
    )
    assert all(torch.equal(one.weight, two.weight) for one, two in zip(own, other, strict=True))  # drawn in one order
    images = torch.rand(1, 3, 32, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(cells(images), plain(images), rtol=1e-5, atol=1e-6)
    assert cells.options.cost(32, 24) == generator_cost("resnet", 32, 24, ngf=4, blocks=2)


def test_a_design_by_hand_is_a_point_of_its_space_whether_or_not_the_ends_are_searched():
    for ends in (False, True):
        shape = GeneratorShape(hidden=8, cells=4, ends=ends)
        genotype = by_hand(shape)
        space_of(shape).check(genotype)
        names = chosen(shape, genotype)
        assert names == ["conv7x7", *["conv3x3"] * 6, "transposed3x3", "transposed3x3", "conv7x7"]


def test_gradients_reach_the_gates_and_the_weights_of_every_operation():
    net = supernet_of(SMALL).train()
    gates = {name: torch.full((choice.size,), 1 / choice.size).requires_grad_() for name, choice in net.space.items()}
    options = {name: choice.options for name, choice in net.space.items()}
    out = net(torch.rand(1, 3, 16, 16), Gates(net.space.largest(), options, gates))
    (out * torch.rand_like(out)).sum().backward()
    assert all(gate.grad.abs().min() > 0 for gate in gates.values())
    weights = {name: value for name, value in net.named_parameters() if "weight" in name}
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in weights.values())


def test_mixtures_get_gradients_in_bfloat16():
    net = supernet_of(SMALL).train()
    gates = {name: torch.full((choice.size,), 1 / choice.size).requires_grad_() for name, choice in net.space.items()}
    options = {name: choice.options for name, choice in net.space.items()}
    with torch.autocast("cpu", torch.bfloat16):
        out = net(torch.rand(1, 3, 16, 16), Gates(net.space.largest(), options, gates))
    out.float().square().sum().backward()
    assert all(gate.grad.isfinite().all() and gate.grad.any() for gate in gates.values())


def test_a_generator_keeps_the_size_and_a_discriminator_scores_patches_of_a_sixteenth():
    rng = random.Random(5)
    for _ in range(5):
        genotype = space_of(SMALL).sample(rng)
        net = build_generator("cyclegan_nas", genotype=genotype, hidden=8, cells=4)
        assert net(torch.rand(1, 3, 16, 24)).shape == (1, 3, 16, 24)
        judge = build_discriminator("cyclegan_nas", genotype=space_of(JUDGE).sample(rng), hidden=3)
        x = torch.rand(2, 3, 32, 64)
        assert judge(x).shape == (2, 1, 2, 4)
        judge.eval()
        assert [part.shape[1] for part in judge.features(x)] == [3, 6, 12, 24, 1]
        assert torch.equal(judge.scores(judge.features(x)), judge(x))


@pytest.mark.parametrize("option", OPERATIONS["encoding"])
def test_a_discriminator_sees_how_bright_and_how_contrasted_an_image_is(option):
    genotype = dict.fromkeys(space_of(DiscriminatorShape()), option)
    judge = build_discriminator("cyclegan_nas", seed=0, hidden=16, genotype=genotype).eval()
    torch.manual_seed(0)
    with torch.inference_mode():
        images = torch.rand(4, 3, 64, 64)
        scores, of_darker = judge(images), judge(0.4 * images - 0.5)
    assert float((scores - of_darker).abs().mean()) > 0.2 * float(scores.std())


def test_sizes_and_options_out_of_range_are_refused():
    genotype = space_of(SMALL).smallest()
    with pytest.raises(SlimgenError, match=r"generator of cells must be multiples of 4.*got 18 x 16"):
        generator_cost("cyclegan_nas", 18, 16, genotype=genotype, hidden=8, cells=4)
    with pytest.raises(SlimgenError, match=r"discriminator of cells.*multiples of 16, at least 32 pixels.*got 16 x 32"):
        supernet_of(JUDGE)(torch.rand(1, 3, 16, 32), space_of(JUDGE).smallest())
    with pytest.raises(SlimgenError, match=r"hidden width of at least 4.*hidden 3"):
        GeneratorShape(hidden=3)
    mirrored = {"genotype": genotype, "hidden": 8, "cells": 4, "padding": "reflect"}
    with pytest.raises(SlimgenError, match=r"multiples of 4, at least 20 pixels; got 16 x 20"):
        generator_cost("cyclegan_nas", 16, 20, **mirrored)
    with pytest.raises(SlimgenError, match=r"padding .* must be one or reflect or cyclegan; got 'zeros'"):
        GeneratorShape(padding="zeros")
    with pytest.raises(SlimgenError, match=r"at least 1; got hidden 0"):
        DiscriminatorShape(hidden=0)
    with pytest.raises(SpaceError, match=r"cell0.op0 must be one of max_pool, .*got None"):
        CellsGenerator(genotype={}, hidden=8, cells=4)


def test_an_extracted_generator_exports_to_onnx_with_equal_images(tmp_path):
    net = supernet_of(SMALL)
    genotype = net.space.sample(random.Random(7)).replace({"cell3.op0": "bilinear", "cell0.op1": "max_pool"})
    small = net.extract(genotype)
    export_onnx(small, tmp_path / "generator.onnx", height=16, width=16)
    difference = parity(small, tmp_path / "generator.onnx", torch.rand(2, 3, 16, 16) * 2 - 1, tolerance=1e-4)
    assert difference.max_abs < 1e-4
    for shape in (MIRRORED, OWN):
        other, file = supernet_of(shape).extract(space_of(shape).largest()), tmp_path / f"{shape.padding}.onnx"
        export_onnx(other, file, height=20, width=24)
        difference = parity(other, file, torch.rand(1, 3, 20, 24) * 2 - 1, tolerance=1e-4)
        assert difference.max_abs < 1e-4


def test_an_operation_that_is_drawn_runs_alone_times_its_weight():
    for kind in OPERATIONS:
        slot = Slot("here", kind, OPERATIONS[kind], 3, 4)
        choices = initialise(Choices(slot, spectral=True), 0).eval()
        x = torch.rand(1, 3, 16, 16)
        for number, name in enumerate(slot.options):
            weight = torch.full((len(slot.options),), 0.5)
            gates = Gates(Genotype({}), {"here": slot.options}, {"here": weight}, {"here": number})
            with torch.no_grad():
                torch.testing.assert_close(choices.run(x, gates), 0.5 * choices[name](x))
