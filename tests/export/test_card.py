import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from slimgen.errors import RunError
from slimgen.export.axes import in_words
from slimgen.export.card import Facts, card, read_facts, write_card
from slimgen.export.example import snippet
from slimgen.export.onnx import export_onnx, parity
from slimgen.export.tiling import Tiling, tiling
from slimgen.nets import build_generator
from slimgen.tasks.tiles import in_tiles, mirrored


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """An exported negative: its output is known in closed form."""
    net = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(-torch.eye(3)[:, :, None, None])
    file = export_onnx(net, tmp_path_factory.mktemp("export") / "generator.onnx", height=16, width=24)
    return Facts(
        name="negative",
        recipe={"recipe": "tiny", "task": "paired", "method": "cf_gan", "seed": 1},
        onnx=file,
        parity=parity(net, file.path, torch.zeros(2, 3, 16, 24)),
        data={"name": "townhouses", "digest": "abc|def"},
        licence="made by this project, MIT",
        budget={"macs": 4000, "latency_ms": 3.0},
        cost={"macs": 3456, "params": 9},
        original_cost={"macs": 34560, "params": 90},
        quality={"original": {"psnr": 20.5, "ssim": 0.75}, "found": {"psnr": 20.25, "ssim": 0.7421}},
        protocol="psnr+ssim of 2 images",
        latency=[{"runtime": "onnxruntime", "threads": 1, "p50_ms": 0.12}],
        genotype={"c0": 8},
        versions={"torch": torch.__version__},
    )


def test_the_code_on_the_card_runs_as_it_stands(facts: Facts) -> None:
    folder = facts.onnx.path.parent
    write_card(folder / "card.md", facts)
    picture = numpy.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=numpy.uint8)
    Image.fromarray(picture).save(folder / "picture.png")
    found = re.search(r"```python\n(.*?)```", (folder / "card.md").read_text(), re.DOTALL)
    assert found is not None
    subprocess.run([sys.executable, "-W", "error", "-c", found.group(1)], cwd=folder, check=True)
    assert numpy.array_equal(numpy.asarray(Image.open(folder / "generated.png")), 255 - picture)


def test_a_card_of_a_network_of_other_channels_shows_code_that_runs_too(facts: Facts) -> None:
    file = export_onnx(nn.Conv2d(5, 3, 1), facts.onnx.path.parent / "labels.onnx", height=8, width=8, channels=5)
    code = snippet(file) + "assert generated.shape == (1, 3, 8, 8)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=file.path.parent, check=True)


def halving(channels: int) -> nn.Module:
    """An upscaler whose sides must be multiples of two, as Real-ESRGAN's x2."""
    conv = nn.Conv2d(4 * channels, 16 * channels, 3, padding=1)
    nn.init.normal_(conv.weight, std=0.2, generator=torch.Generator().manual_seed(0))
    return nn.Sequential(nn.PixelUnshuffle(2), conv, nn.PixelShuffle(4)).eval()


def compact(scale: int, channels: int) -> nn.Module:
    options = {"scale": scale, "inputs": channels, "outputs": channels, "channels": 4, "blocks": 1}
    return build_generator("srvgg", seed=1, **options).eval()


UPSCALERS = {
    "odd sides, RGB": (compact(3, 3), 3, True, "RGB"),
    "multiples": (halving(3), 2, True, "RGB"),
    "grey": (compact(2, 1), 2, True, "L"),
    "RGBA": (compact(2, 4), 2, True, "RGBA"),
    "one size": (compact(4, 3), 4, False, "RGB"),
}


@pytest.mark.parametrize(("net", "scale", "dynamic", "mode"), UPSCALERS.values(), ids=UPSCALERS)
def test_the_code_of_an_upscaler_enlarges_odd_pictures_as_slimgen_does_with_neither_slimgen_nor_torch(
    net: nn.Module, scale: int, dynamic: bool, mode: str, facts: Facts, tmp_path: Path
) -> None:
    channels = len(mode)
    file = export_onnx(net, tmp_path / "generator.onnx", height=64, width=48, channels=channels, dynamic=dynamic)
    tiles = tiling(file, scale)
    if dynamic:
        tiles = replace(tiles, window=(48, 40))  # so that the picture has several
    write_card(tmp_path / "card.md", replace(facts, onnx=file, tiles=tiles))
    levels = numpy.random.default_rng(0).integers(0, 256, (67, 91, channels), dtype=numpy.uint8)
    Image.fromarray(levels.squeeze()).save(tmp_path / "picture.png")
    found = re.search(r"```python\n(.*?)```", (tmp_path / "card.md").read_text(), re.DOTALL)
    assert found is not None
    foreign = "import sys\nassert not {'slimgen', 'torch', 'scipy'} & sys.modules.keys()\n"
    subprocess.run([sys.executable, "-W", "error", "-c", found.group(1) + foreign], cwd=tmp_path, check=True)
    picture = torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        expected = in_tiles(
            mirrored(net, scale=scale, multiple=file.multiple), picture, scale=scale, tile=512, overlap=0
        )
    expected = ((expected[0] + 1) * 127.5).round().clip(0, 255).permute(1, 2, 0).numpy().squeeze()
    with Image.open(tmp_path / "generated.png") as made:
        assert (made.mode, made.size) == (mode, (91 * scale, 67 * scale))
        apart = numpy.abs(numpy.asarray(made).astype(int) - expected)
    if not dynamic:  # the right and bottom, where the mirror image continues the picture
        apart = apart[: -20 * scale, : -20 * scale]
    # A sum of floats in another order may be rounded to the next level.
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3


def test_an_upscaler_of_other_channels_shows_code_that_runs_too(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(5, 2, 3, padding=1), nn.Upsample(scale_factor=2))
    file = export_onnx(net, tmp_path / "generator.onnx", height=8, width=12, channels=5)
    code = snippet(file, tiling(file, 2)) + "assert generated.shape == (1, 2, 16, 24)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


def test_the_card_tells_how_pictures_of_any_size_are_enlarged(facts: Facts, tmp_path: Path) -> None:
    tiles = Tiling((176, 176), 16, 8, 1, (1, 1), 2.5e-6, (152, 152))
    text = card(replace(facts, tiles=tiles))
    assert "in windows of 176x176 px, so its memory does not grow with the picture" in text
    assert "What a window makes of the 16 px at its inner sides is not used" in text
    assert (
        "from that of the whole picture by at most 2.5e-06, of a range of [-1, 1], in a drawn picture of 152x152"
        in text
    )
    assert "window=(176, 176), overlap=16, step=8, multiple=1, least=(1, 1)" in text
    one = card(replace(facts, tiles=replace(tiles, least=(176, 176), max_abs=0.5)))
    assert "176x176 px, the only size that the file takes" in one
    assert "differed from that of their neighbours by at most 0.5" in one
    assert "Their borders may be seen." in one
    unknown = card(replace(facts, tiles=replace(tiles, max_abs=None, measured_at=None)))
    assert "was not measured" in unknown
    whole = card(replace(facts, tiles=replace(tiles, window=None, whole_because="it looks at all of it")))
    assert "whole, so its memory grows with the picture: it looks at all of it." in whole
    assert "window=None" in whole
    write_card(tmp_path / "card.md", replace(facts, tiles=tiles))
    assert json.loads((tmp_path / "card.json").read_text())["tiles"]["window"] == [176, 176]
    assert read_facts(tmp_path / "card.md").tiles == tiles
    # Cards of older versions know of no tiles.
    record = json.loads((tmp_path / "card.json").read_text())
    del record["tiles"]
    (tmp_path / "card.json").write_text(json.dumps(record))
    assert read_facts(tmp_path / "card.md").tiles is None


def test_the_json_beside_it_holds_the_same_facts_exactly(facts: Facts, tmp_path: Path) -> None:
    write_card(tmp_path / "card.md", facts)
    record = json.loads((tmp_path / "card.json").read_text())
    assert record["quality"] == facts.quality
    assert record["parity"]["max_abs"] == facts.parity.max_abs
    assert record["onnx"]["path"] == "generator.onnx"
    assert record["onnx"]["input"] == ["input", ["batch", 3, "height", "width"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "card.md"]


def test_a_card_read_back_and_written_again_differs_only_in_changed_facts(facts: Facts, tmp_path: Path) -> None:
    write_card(tmp_path / "card.md", facts)
    before = (tmp_path / "card.md").read_text(), (tmp_path / "card.json").read_text()
    write_card(tmp_path / "card.md", read_facts(tmp_path / "card.md"))
    assert ((tmp_path / "card.md").read_text(), (tmp_path / "card.json").read_text()) == before
    nameless = card(replace(facts, name="mine", licence=None))
    assert "licence" not in nameless.lower()
    assert "license" not in nameless.lower()
    lines = zip(before[0].splitlines(), card(replace(facts, name="mine")).splitlines(), strict=True)
    changed = [pair for pair in lines if pair[0] != pair[1]]
    assert all(before.replace("negative", "mine") == after for before, after in changed)
    assert ("# negative", "# mine") in changed
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(RunError, match="run slimgen export again"):
        read_facts(tmp_path / "card.md")


def test_the_card_tells_shapes_cost_quality_protocol_parity_latency_and_licence(facts: Facts) -> None:
    text = card(facts)
    for line in [
        "| input | `input` | batch, 3, height, width | float32 in [-1, 1], RGB |",
        "| macs | 34,560 | 3,456 | 10.00x | 4,000 |",
        "| latency_ms |  |  |  | 3.000 |",
        "| found | 20.250 | 0.7421 |",
        "Protocol: psnr+ssim of 2 images.",
        "Licence of the data: made by this project, MIT",
        "|  | onnxruntime |  | 1 |  | 0.12 |  |",
        "| data: digest | abc\\|def |",
        '"c0": 8',
    ]:
        assert line in text
    assert "differ by 0 at most" in text
    assert "batch, height and width may vary, at least 1 px each." in text
    assert "pip install onnxruntime pillow numpy" in text


def test_model_hubs_read_the_head_of_the_card(facts: Facts) -> None:
    def head(**changes) -> dict:
        _, text, body = card(replace(facts, **changes)).split("---\n", 2)
        assert body.startswith("\n# negative\n")
        return yaml.safe_load(text)

    found = head(licence="MIT, like slimgen")
    assert found["license"] == "mit"
    assert found["pipeline_tag"] == "image-to-image"
    assert {"onnx", "gan", "cf-gan", "paired"} <= set(found["tags"])
    assert found["metrics"] == ["psnr", "ssim"]
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert model["name"] == "negative"
    assert {one["type"]: one["value"] for one in result["metrics"]} == {"psnr": 20.25, "ssim": 0.7421}
    other = head(licence="Zappos: research")
    assert (other["license"], other["license_name"]) == ("other", "Zappos: research")
    unknown = head(licence=None, quality={})
    assert not {"license", "license_name", "metrics", "model-index"} & unknown.keys()


def test_the_card_shows_pictures_and_the_files_purpose_and_limits(facts: Facts) -> None:
    text = card(replace(facts, pictures="grid.png", speed="faster: 3.5 times"))
    assert "![Test inputs, and the output of each generator for them](grid.png)" in text
    assert "on the machine that measured both: faster: 3.5 times." in text
    limits = text[text.index("## Intended use and limits") : text.index("## Training")]
    for words in ("Other sizes run", "not measured", "no evidence", "bound by the licence of the data: made by this"):
        assert words in limits
    unknown = card(replace(facts, licence=None))
    assert "ask their owners before you publish" in unknown
    assert "![" not in unknown


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ("batch", "batch"),
        (3, "3"),
        ("height", "height"),
        ("4*(((height - 1)//4)) + 4", "height rounded up to a multiple of 4"),
        ("4*width", "4 times width"),
        ("2*((width + 7)//8)*8", "2 times width rounded up to a multiple of 8"),
        ("height - 2", "height-2"),
        ("Max(1, height)", "Max(1,height)"),
        ("height +", "height+"),
    ],
)
def test_an_axis_is_described_in_words(axis: int | str, words: str) -> None:
    assert in_words(axis) == words


def test_sides_that_must_be_multiples_are_said_to_be_and_not_rounded(facts: Facts) -> None:
    assert in_words("4*(((height - 1)//4)) + 4", 4) == "height"
    text = card(replace(facts, onnx=replace(facts.onnx, multiple=4, least=8)))
    assert "height and width must be multiples of 4, at least 8 px each." in text
    assert "Other multiples of 4 px run" in text


def test_a_fixed_size_is_printed_with_its_reason(facts: Facts) -> None:
    fixed = replace(facts.onnx, dynamic=("batch",), fixed_because="the network knows one size", least=None)
    assert "batch may vary (the network knows one size)." in card(replace(facts, onnx=fixed))


def test_the_card_of_a_network_of_noise_speaks_of_noise(facts: Facts) -> None:
    # Three numbers of noise are no three channels.
    net = nn.Sequential(nn.Linear(3, 3 * 64), nn.Unflatten(1, (3, 8, 8)), nn.Tanh())
    file = export_onnx(net, facts.onnx.path.parent / "noise.onnx", height=8, width=8, latent=3)
    text = card(replace(facts, onnx=file, parity=parity(net, file.path, torch.zeros(2, 3)), reads="float32, normal"))
    assert "A generator of images from noise" in text
    assert "| input | `input` | batch, 3 | float32, normal |" in text
    assert "Exported at 8x8 px; batch may vary." in text
    assert "On 2 rows of noise, onnxruntime" in text
    subprocess.run([sys.executable, "-W", "error", "-c", snippet(file)], cwd=file.path.parent, check=True)
    with Image.open(file.path.parent / "generated.png") as picture:
        assert picture.size == (8, 8)


def test_marks_and_codes_of_names_are_shown_as_they_are(facts: Facts) -> None:
    name = "a|b\n# no heading \x1b[31m<script>x</script> [here](http://x) *b* `c`"
    text = card(replace(facts, name=name, licence=name, data={name: name}, protocol=name))
    shown = r"a\|b # no heading \\x1b\[31m\<script\>x\</script\> \[here\](http://x) \*b\* \`c\`"
    assert f"# {shown}\n" in text
    assert f"Licence of the data: {shown}\n" in text
    assert f"| data: {shown} | {shown} |\n" in text
    assert "\x1b" not in text
    assert len([line for line in text.splitlines() if line.startswith("# ")]) == 1
