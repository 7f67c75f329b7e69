"""SRResNet, RRDBNet and SRVGGNetCompact: published figures, sizes, widths as pruning leaves them, export, adoption."""

import json
import random

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.cost.count import count
from slimgen.errors import RecipeError, SlimgenError
from slimgen.export.onnx import export_onnx
from slimgen.nets import build_generator, description_of, generator_cost
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.co_evolution.groups import narrowest

FAMILIES = ("srresnet", "rrdbnet", "srvgg")
TINY = {"channels": 4, "blocks": 2}


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    ("words", "params", "exact", "thop"),
    [
        # ESRGAN and SRResNet as CF-GAN's Table 3 counts them, at 256 x 256: 1176.67 G and 166.66 G with thop.
        (["rrdbnet"], 16_697_987, 1_174_853_910_528, 1_176_614_469_632),
        (["srresnet"], 1_517_571, 166_207_684_608, 166_655_426_560),
        # The published files of Real-ESRGAN: x4plus_anime_6B, x2plus, animevideov3 and general-x4v3.
        (["rrdbnet", "--blocks", 6], 4_467_779, None, None),
        (["rrdbnet", "--scale", 2], 16_703_171, None, None),
        (["srvgg", "--blocks", 16], 621_424, None, None),
        (["srvgg", "--blocks", 32], 1_213_296, None, None),
    ],
)
def test_profile_tells_the_published_figures(words, params, exact, thop):
    facts = json.loads(invoke("profile", *words, "--size", 256, "--json").stdout)
    assert facts["params"] == params
    if exact is not None:
        assert (facts["macs"]["exact"], facts["macs"]["thop"]) == (exact, thop)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        *(("rrdbnet", {"blocks": blocks, "scale": scale}) for blocks, scale in ((6, 4), (23, 2), (2, 1))),
        *(("srresnet", {"blocks": 3, "scale": scale}) for scale in (2, 3, 4)),
        *(
            ("srvgg", {"blocks": blocks, "scale": scale})
            for blocks, scale in ((16, 4), (32, 4), (3, 1), (3, 2), (3, 3))
        ),
        ("rrdbnet", {"channels": 5, "blocks": 0}),
        ("rrdbnet", {"channels": 1, "blocks": 1, "inputs": 2, "outputs": 1}),
        ("srresnet", {"channels": 3, "inputs": 1, "outputs": 1, "blocks": 0}),
        ("srvgg", {"channels": 3, "inputs": 5, "outputs": 5, "blocks": 0}),
    ],
)
def test_the_closed_form_equals_the_count_on_rectangles(family, options):
    with torch.device("meta"):
        net, images = build_generator(family, **options), torch.empty(1, int(options.get("inputs", 3)), 12, 20)
        assert generator_cost(family, 12, 20, **options) == count(net, images)


@pytest.mark.parametrize("family", FAMILIES)
def test_widths_as_pruning_leaves_them_replace_the_channels(family):
    described, net = description_of(family)(**TINY), build_generator(family, **TINY)
    layers = dict(net.named_modules())

    def kept(name):
        # One channel less of each layer, and of the squares of pixels that become one channel.
        squares = 4 if name.startswith("upconv") else 1
        return layers[name].out_channels - squares

    assert set(described.writers().values()) == {
        name for name, layer in layers.items() if hasattr(layer, "in_channels")
    }
    whole = described.cut(lambda name: layers[name].out_channels)
    assert generator_cost(family, 8, 12, **TINY, widths=whole) == generator_cost(family, 8, 12, **TINY)
    widths = described.cut(kept)
    assert json.loads(json.dumps(widths)) == widths
    cut = build_generator(family, **TINY, widths=widths)
    cost = generator_cost(family, 8, 12, **TINY, widths=widths)
    assert cost == count(cut, torch.zeros(1, 3, 8, 12))
    assert cost.exact < generator_cost(family, 8, 12, **TINY).exact
    assert cut(torch.zeros(1, 3, 8, 12)).shape == (1, 3, 32, 48)
    for wrong in ({}, {**widths, "more": [1]}, {name: [0] for name in widths}, dict.fromkeys(widths, "4"), [4]):
        with pytest.raises(RecipeError, match="widths"):
            generator_cost(family, 8, 12, **TINY, widths=wrong)


@pytest.mark.parametrize("family", FAMILIES)
def test_filters_are_cut_one_by_one_and_the_description_of_what_is_left_takes_its_weights(family):
    net, images = build_generator(family, seed=1, **TINY).eval(), torch.rand(1, 3, 8, 12)
    space = FilterSpace(net, images, family=family, options=TINY)
    for genotype in (space.space.sample(random.Random(seed)) for seed in range(3)):
        cut = space.cut(genotype).eval()
        built = build_generator(family, **space.described(genotype)).eval()
        built.load_state_dict(cut.state_dict())
        with torch.no_grad():
            assert torch.equal(built(images), cut(images))
        assert space.cost(genotype, 8, 12) == count(cut, images)


@torch.no_grad()
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_srresnet_is_cut_everywhere_but_its_output_and_its_enlargements_by_whole_squares_of_filters(scale):
    options = {"channels": 5, "blocks": 2, "scale": scale}
    net, images = build_generator("srresnet", seed=1, **options).eval().double(), torch.rand(1, 3, 6, 7).double()
    filters = FilterSpace(net, images, family="srresnet", options=options)
    enlargements = [f"upconv{number}" for number in range(1, 1 + len(net.options.factors))]
    layers = ["conv_first", "body-0-conv1", "body-1-conv1", *enlargements, "conv_hr"]
    assert list(filters.space) == [f"filter.{layer}" for layer in layers]
    assert list(filters.pinned) == ["conv_last"]
    for genotype in (filters.space.sample(random.Random(seed)) for seed in range(3)):
        cut = filters.cut(genotype).eval()
        # Zeroed filters stay zero through ReLU, LeakyReLU, sums and shuffles, so to cut them changes nothing.
        assert torch.allclose(cut(images), filters.masked(genotype)(images), rtol=0, atol=1e-12)
        kept = {
            layer: [at for at, bit in enumerate(str(genotype[f"filter.{layer}"])) if bit == "1"] for layer in layers
        }
        before = kept["conv_first"]
        for name, factor in zip(enlargements, net.options.factors, strict=True):
            whole = net.get_submodule(name).weight.view(5, factor**2, 5, 3, 3)
            wanted = whole[kept[name]][:, :, before].flatten(0, 1)
            assert torch.equal(cut.get_submodule(name).weight, wanted)
            before = kept[name]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_network_that_pruning_names_is_that_of_the_space(family):
    net = build_generator(family, seed=1, **TINY).eval()
    space = FilterSpace(net, torch.rand(1, 3, 8, 8), family=family, options=TINY)
    least = space.cost(space.space.smallest(), 8, 8)
    assert generator_cost(family, 8, 8, **narrowest(family, TINY)) == least


@pytest.mark.parametrize("scale", [1, 2])
def test_images_that_cannot_be_unshuffled_are_refused(scale):
    rule = f"sides of images for an RRDBNet with scale {scale} must be multiples of {4 // scale} pixels; got 10 x 9"
    with pytest.raises(SlimgenError, match=rule):
        generator_cost("rrdbnet", 10, 9, scale=scale)
    with pytest.raises(SlimgenError, match=rule):
        build_generator("rrdbnet", **TINY, scale=scale)(torch.zeros(1, 3, 10, 9))


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("rrdbnet", {"scale": 3}, "scale of an RRDBNet must be 1, 2 or 4; got 3"),
        ("srresnet", {"scale": 1}, "scale of an SRResNet must be 2, 3 or 4; got 1"),
        ("srvgg", {"scale": 8}, "scale of an SRVGGNetCompact must be 1, 2, 3 or 4; got 8"),
        ("srvgg", {"inputs": 1}, "adds its enlarged input to its output, so inputs and outputs must be equal"),
        ("rrdbnet", {"channels": 0}, "inputs, outputs and channels of an RRDBNet must be at least 1"),
        ("rrdbnet", {"growth": 0}, "growth of an RRDBNet must be at least 1; got 0"),
    ],
)
def test_options_out_of_range_are_refused(family, options, message):
    with pytest.raises(SlimgenError, match=message):
        generator_cost(family, 8, 8, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_generator_makes_pictures_of_ordinary_contrast_and_passes_gradients_to_every_layer(family):
    net = build_generator(family, seed=3, channels=16)
    made = net(torch.rand(1, 3, 12, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    assert 0.05 < float(made.detach().std()) < 5
    made.square().mean().backward()
    assert all(bool(weight.grad.ne(0).any()) for weight in net.parameters())


@pytest.mark.parametrize(("family", "scale", "multiple"), [("rrdbnet", 2, 2), ("srresnet", 3, 1), ("srvgg", 4, 1)])
def test_one_exported_file_takes_pictures_of_any_size(family, scale, multiple, tmp_path):
    net = build_generator(family, seed=1, scale=scale, **TINY).eval()
    file = export_onnx(net, tmp_path / "g.onnx", height=8, width=12)
    assert (file.dynamic, file.multiple) == (("batch", "height", "width"), multiple)
    session = onnxruntime.InferenceSession(file.path)
    for shape in ((1, 3, 6, 10), (2, 3, 14, 8), (1, 3, 4 * multiple, 7 * multiple)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        with torch.no_grad():
            expected = net(images).numpy()
        np.testing.assert_allclose(session.run(None, {"input": images.numpy()})[0], expected, atol=1e-5)


def test_a_published_rrdbnet_is_adopted_in_one_command(tmp_path):
    options = {"channels": 4, "growth": 2, "blocks": 1}
    net = build_generator("rrdbnet", seed=1, **options).eval()
    old = {"conv_body": "trunk_conv", "conv_up": "upconv", "conv_hr": "HRconv", "body": "RRDB_trunk", "rdb": "RDB"}
    weights = {}
    for name, tensor in net.state_dict().items():
        for new, former in old.items():
            name = name.replace(new, former)
        weights[name] = tensor
    torch.save({"params_ema": weights}, tmp_path / "esrgan.pth")
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((64, 48), Image.BILINEAR).save(tmp_path / "pictures" / f"{number}.png")
    words = ["adopt", tmp_path / "esrgan.pth", "rrdbnet", "--channels", 4, "--blocks", 1, "--growth", 2]
    words += ["--size", "12x16", "--data", tmp_path / "pictures", "--out", tmp_path / "run"]
    said = invoke(*words, "--set", "evaluate.latency_runs=2", "--json")
    assert said.exit_code == 0, said.stderr
    rows = json.loads((tmp_path / "run" / "evaluate" / "table.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["adopted", "bicubic"]
    assert {"psnr_y", "psnr", "ssim"} <= set(rows[0]["metrics"])
    assert rows[0]["macs"]["exact"] == generator_cost("rrdbnet", 12, 16, **options).exact
    session = onnxruntime.InferenceSession(tmp_path / "run" / "export" / "generator.onnx")
    for size in ((12, 16), (7, 9)):  # any size, not only that of the evaluation
        picture = np.random.default_rng(1).random((1, 3, *size), np.float32) * 2 - 1
        with torch.no_grad():
            expected = net(torch.from_numpy(picture)).numpy()
        assert np.allclose(session.run(None, {"input": picture})[0], expected, atol=1e-5)
