"""A trained generator made smaller by one command: what is read from it, what is chosen and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.errors import BudgetError, CheckpointError, RecipeError
from slimgen.export.latency.clock import Clock
from slimgen.export.latency.table import LatencyTable
from slimgen.methods.latency import least
from slimgen.methods.pruning import preview
from slimgen.nets import build_discriminator, build_generator, generator_cost
from slimgen.nets.checkpoints.reading import read_discriminator, read_generator
from slimgen.size import Size
from slimgen.stages.compressing import Asked, out_of_reach, plan
from townhouses import write

SOURCE = """
import torch
from torch import nn

class Doubler(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first, self.grow = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 4 * width, 3, padding=1)
        self.slope, self.last = nn.PReLU(width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x):
        return self.last(self.slope(nn.functional.pixel_shuffle(self.grow(torch.relu(self.first(x))), 2)))
"""


def slimgen(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    for layout in ("paired", "unpaired"):
        night = {"night": 8} if layout == "unpaired" else {}
        write(folder / layout, seed=0, train=9, test=2, size=64, layout=layout, **night)
    (folder / "doubling_twice.py").write_text(SOURCE)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 9), ("test", 2)):
        (folder / split).mkdir()
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 256, (6, 7, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((51, 42), Image.Resampling.BILINEAR).save(folder / split / f"{number}.png")
    return folder


GENERATORS = {
    "resnet": {"ngf": 12, "blocks": 6, "norm": "batch"},
    "mobile_resnet": {"ngf": 8, "blocks": 3, "norm": "instance"},
    "unet": {"ngf": 6, "depth": 5, "norm": "batch", "inputs": 1},
    "rrdbnet": {"channels": 6, "blocks": 2, "scale": 4, "growth": 4},
    "srresnet": {"channels": 6, "blocks": 2, "scale": 3, "inputs": 1, "outputs": 1},
    "srvgg": {"channels": 6, "blocks": 3, "scale": 2},
}


@pytest.mark.parametrize("family", GENERATORS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_family_and_options_are_read_from_a_file(tmp_path, family, wrapped):
    options = GENERATORS[family]
    weights = build_generator(family, **options).state_dict()
    if wrapped:
        weights = {"epoch": 3, "state_dict": {f"module.{name}": each for name, each in weights.items()}}
    torch.save(weights, tmp_path / "net.pth")
    found = read_generator(tmp_path / "net.pth")
    assert found.pop("family") == family
    build_generator(family, **found).load_state_dict(build_generator(family, **options).state_dict())
    assert options.items() <= found.items()


def test_the_blocks_with_dropout_and_instance_norm_of_old_files_are_read_too(tmp_path):
    net = build_generator("resnet", ngf=4, blocks=2, dropout=0.5)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    assert read_generator(tmp_path / "net.pth") == {"family": "resnet", "ngf": 4, "blocks": 2, "norm": "instance"}


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("patchgan", {"ndf": 4, "layers": 2, "norm": "batch"}),
        ("patchgan", {"ndf": 8, "layers": 3, "inputs": 3}),
        ("vgg_style", {"ndf": 4, "halvings": 6, "inputs": 1}),
        ("unet_sn", {"ndf": 4, "inputs": 3}),
    ],
)
def test_a_discriminator_is_read_as_well(tmp_path, family, options):
    torch.save(build_discriminator(family, **options).state_dict(), tmp_path / "net.pth")
    found = read_discriminator(tmp_path / "net.pth")
    assert {"family": family, **options}.items() <= found.items()


def test_a_file_of_another_network_names_the_families_that_can_be_read(tmp_path):
    torch.save(torch.nn.Conv2d(3, 3, 1).state_dict(), tmp_path / "net.pth")
    with pytest.raises(
        CheckpointError,
        match=r"resnet, mobile_resnet, unet, rrdbnet, srresnet, srvgg.*name its family and options, or its class",
    ):
        read_generator(tmp_path / "net.pth")


def test_a_unet_alone_is_made_smaller_by_one_command(place, tmp_path):
    torch.save(build_generator("unet", ngf=16, depth=6, seed=1).state_dict(), tmp_path / "latest_net_G.pth")
    words = ("compress", tmp_path / "latest_net_G.pth", "--data", place / "paired", "--budget", "1/8", "--size", 64)
    quick = ("--quick", "--set", "export.dynamic=false", "--set", "search={kind: greedy}")
    done = slimgen(*words, *quick, "--out", tmp_path / "run", "--json")
    assert done.exit_code == 0, done.output
    assert "unet (ngf 16, depth 6, norm batch), 24,903,680 MACs at 64 x 64" in done.stderr
    assert "paired images (side by side, 9 to train on); method pruning" in done.stderr
    table = json.loads((tmp_path / "run" / "evaluate" / "table.json").read_text())
    original, found = (next(row for row in table["rows"] if row["name"] == name) for name in ("original", "found"))
    assert found["macs"]["exact"] <= original["macs"]["exact"] / 8
    assert found["latency"]["p50_ms"] < original["latency"]["p50_ms"]
    assert set(found["metrics"]) == {"psnr", "ssim"}
    assert Path(json.loads(done.stdout)["files"]["generator.onnx"]).is_file()


def asked(place: Path, weights: Path, **more) -> Asked:
    return Asked(**{
        "weights": str(weights), "data": place / "paired", "generator": {}, "limits": {"macs": "1/2"}, "name": "small",
        **more,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "task", "metrics"),
    [
        ("paired", "paired", ("psnr", "ssim")),
        ("unpaired", "unpaired", ("psnr", "ssim")),
        ("paired/train", "single", None),
    ],
)
def test_the_task_is_seen_from_the_folders(place, tmp_path, layout, task, metrics):
    torch.save(build_generator("resnet", ngf=4, blocks=2, norm="batch").state_dict(), tmp_path / "net.pth")
    found = plan(asked(place, tmp_path / "net.pth", data=place / layout, size=Size(32, 32))).recipe
    assert (found.task, found.method) == (task, "pruning")
    assert found.teach.generator == {"family": "resnet", "ngf": 4, "blocks": 2, "norm": "batch"}
    assert found.losses.adversarial == 0
    assert metrics is None or found.evaluate.metrics == metrics


def test_a_class_of_ones_own_that_enlarges_is_an_upscaler(place, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(place))
    from doubling_twice import Doubler

    torch.save(Doubler().state_dict(), tmp_path / "net.pth")
    generator = {"family": "doubling_twice:Doubler"}
    found = plan(asked(place, tmp_path / "net.pth", generator=generator, data=place / "paired" / "train"))
    assert (found.recipe.task, found.recipe.data.scale, found.recipe.size.plain) == ("upscale", 2, 64)
    assert found.recipe.evaluate.metrics == ("psnr_y", "ssim_y")
    pictures = {"generator": generator, "data": place / "paired" / "train", "task": "single"}
    named = plan(asked(place, tmp_path / "net.pth", **pictures)).recipe
    assert (named.task, named.data.scale, named.size.plain) == ("single", 2, 128)


EIGHTFOLD = """
from torch import nn

class Eightfold(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 192, 3, padding=1), nn.PixelShuffle(8))
"""


def test_an_enlargement_that_is_no_task_upscale_is_pruned_on_pictures_alone(place, tmp_path, monkeypatch):
    (tmp_path / "eightfold.py").write_text(EIGHTFOLD)
    monkeypatch.syspath_prepend(str(tmp_path))
    from eightfold import Eightfold

    torch.save(Eightfold().state_dict(), tmp_path / "net.pth")
    pictures = {"generator": {"family": "eightfold:Eightfold"}, "data": place / "paired" / "train"}
    found = plan(asked(place, tmp_path / "net.pth", limits={"macs": "9/10"}, **pictures)).recipe
    assert (found.task, found.data.scale, found.size.plain) == ("single", 8, 32)
    assert found.evaluate.metrics == ("psnr_y", "ssim_y", "psnr", "ssim")


UPSCALERS = {
    "rrdbnet": {"channels": 8, "blocks": 1, "scale": 2},
    "srresnet": {"channels": 8, "blocks": 2, "scale": 3},
}


@pytest.mark.parametrize("family", UPSCALERS)
def test_an_upscaler_is_made_smaller_by_one_command(pictures, tmp_path, family):
    options = UPSCALERS[family]
    torch.save({"params": build_generator(family, **options, seed=1).state_dict()}, tmp_path / "net.pth")
    words = ("compress", tmp_path / "net.pth", "--data", pictures, "--budget", "1/2", "--size", 8, "--quick")
    quick = ("--set", "search={kind: greedy}", "--set", "export.dynamic=false")
    done = slimgen(*words, *quick, "--out", tmp_path / "run", "--json")
    assert done.exit_code == 0, done.output  # also of the odd sides that an RRDBNet of scale 2 does not take
    assert "upscale images (train and test, HR alone, 9 to train on); method pruning" in done.stderr
    table = json.loads((tmp_path / "run" / "evaluate" / "table.json").read_text())
    rows = {row["name"]: row for row in table["rows"]}
    assert {"original", "found", "bicubic"} <= rows.keys()
    assert rows["found"]["macs"]["exact"] <= rows["original"]["macs"]["exact"] / 2
    assert {"psnr_y", "ssim_y"} <= rows["found"]["metrics"].keys()
    graph = onnxruntime.InferenceSession(json.loads(done.stdout)["files"]["generator.onnx"])
    (made,) = graph.run(None, {"input": np.zeros((1, 3, 8, 8), np.float32)})
    assert made.shape == (1, 3, 8 * options["scale"], 8 * options["scale"])


def test_the_layouts_of_the_task_upscale_are_taken(pictures, tmp_path):
    torch.save(build_generator("srvgg", channels=4, blocks=1, scale=2).state_dict(), tmp_path / "net.pth")
    place = tmp_path / "both"
    for split, count in (("train", 9), ("test/one", 1), ("test/two", 2)):
        for folder, side in (("HR", 32), ("LRx2", 16)):
            (place / split / folder).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (side, side), (number, 9, 9)).save(place / split / folder / f"{number}.png")
    for data, layout in ((pictures / "train", "one folder, HR alone, 9"), (place, "train and test, HR and LRx2, 9")):
        found = plan(asked(tmp_path, tmp_path / "net.pth", data=data, size=Size(8, 8)))
        assert f"upscale images ({layout} to train on)" in found.said
        assert ("test" in found.recipe.data.model_fields_set) == (data != place)
        assert found.recipe.size.plain == 8
        assert "its own outputs are the targets" in found.said
    torch.save(build_discriminator("vgg_style", ndf=4, halvings=3).state_dict(), tmp_path / "net_D.pth")
    more = {"settings": ["supernet.targets=data"], "discriminator": str(tmp_path / "net_D.pth")}
    found = plan(asked(tmp_path, tmp_path / "net.pth", data=place, **more))
    assert "the images are the targets" in found.said
    assert found.recipe.teach.discriminator == {"family": "vgg_style", "inputs": 3, "ndf": 4, "halvings": 3}


@pytest.mark.parametrize(("scale", "side"), [(2, 64), (3, 40), (4, 32)])
def test_patches_of_an_upscaler_are_about_as_large_as_esrgans(pictures, tmp_path, scale, side):
    torch.save(build_generator("srresnet", channels=4, blocks=1, scale=scale).state_dict(), tmp_path / "net.pth")
    found = plan(asked(tmp_path, tmp_path / "net.pth", data=pictures))
    assert found.recipe.size.plain == side
    assert found.recipe.teach.generator["scale"] == scale


def test_a_discriminator_is_used_where_there_is_one(place, tmp_path):
    torch.save(build_generator("resnet", ngf=32, blocks=2).state_dict(), tmp_path / "net_G.pth")
    torch.save(build_discriminator("patchgan", ndf=4, layers=2).state_dict(), tmp_path / "net_D.pth")
    found = plan(asked(place, tmp_path / "net_G.pth", discriminator=str(tmp_path / "net_D.pth"))).recipe
    assert found.losses.adversarial == 1
    assert found.teach.discriminator["ndf"] == 4
    settings = {"method": "gan_compression", "discriminator": str(tmp_path / "net_D.pth")}
    assert plan(asked(place, tmp_path / "net_G.pth", **settings)).recipe.method == "gan_compression"


def test_a_budget_that_no_method_reaches_names_the_smallest_cost_of_each(place, tmp_path):
    net = {"family": "resnet", "ngf": 8, "blocks": 2}
    torch.save(build_generator(**net).state_dict(), tmp_path / "net.pth")
    done = slimgen("compress", tmp_path / "net.pth", "--data", place / "paired", "--budget", 1000, "--size", 64)
    widths = {"stem": 1, "down1": 1, "trunk": 1, "blocks": [1, 1], "up1": 1, "up2": 1}
    least = generator_cost("resnet", 64, 64, blocks=2, widths=widths).exact
    assert done.exit_code == 2
    assert f"has {least:,} macs" in done.stderr
    assert "gan_compression needs the original's discriminator too" in done.stderr
    assert "\n" not in done.stderr.strip()
    assert not (tmp_path / "runs").exists()


def test_milliseconds_out_of_reach_are_refused_before_anything_runs_with_the_least_of_each_method(place, tmp_path):
    torch.save(build_generator("resnet", ngf=16, blocks=9, norm="instance").state_dict(), tmp_path / "net.pth")
    torch.save(build_discriminator("patchgan", ndf=4, layers=1).state_dict(), tmp_path / "net_D.pth")
    words = ("--data", place / "paired", "--latency-ms", "1e-5", "--size", 32, "--out", tmp_path / "run")
    done = slimgen("compress", tmp_path / "net.pth", *words, "--discriminator", tmp_path / "net_D.pth")
    assert done.exit_code == 2
    found = re.findall(r"(\w+) reaches ([0-9.]+) ms in onnxruntime at the least, and the limit is", done.stderr)
    least = {method: float(shown) for method, shown in found}
    assert 0 < least["pruning"] < least["gan_compression"] < 100  # filters by ones, and widths of at least 8
    assert "\n" not in done.stderr.strip()
    assert not (tmp_path / "run").exists()
    # Between the two, the method that can reach it is not refused.
    between = {"latency_ms": (least["pruning"] + least["gan_compression"]) / 2}
    more = {"limits": between, "size": Size(32, 32), "discriminator": str(tmp_path / "net_D.pth")}
    assert plan(asked(place, tmp_path / "net.pth", **more)).recipe.method == "pruning"
    with pytest.raises(BudgetError, match=r"^gan_compression reaches .* ms"):
        plan(asked(place, tmp_path / "net.pth", method="gan_compression", **more))


def test_a_latency_table_of_the_same_run_is_asked_instead_of_measuring_again(place, tmp_path, monkeypatch):
    torch.save(build_generator("resnet", ngf=4, blocks=2, norm="batch").state_dict(), tmp_path / "net.pth")
    more = {"size": Size(32, 32), "out": tmp_path / "run"}
    recipe = plan(asked(place, tmp_path / "net.pth", limits={"latency_ms": 1000}, **more)).recipe
    networks = preview(recipe).networks()
    file, threads = tmp_path / "run" / "search" / "latency.json", recipe.evaluate.threads
    ends = networks.space.smallest(), networks.space.largest()
    how = {"path": file, "threads": threads, "fit": 1, "check": 1, "most": 1, "tolerance": 1e9}
    table = LatencyTable.measure(networks, lambda rng: rng.choice(ends), 32, 32, **how)
    wanted = table.predict(networks.space.smallest()) * (1 + table.error["max"])

    def refuse(*of):
        raise AssertionError("measured again")

    monkeypatch.setattr(Clock, "visit", refuse)
    held = file.read_bytes()
    assert least(recipe, networks, file.parent) == pytest.approx(wanted)
    for share, refused in ((0.99, True), (1.01, False)):
        changed = recipe.override([f"budget.latency_ms={share * wanted}"])
        assert (out_of_reach(changed, tmp_path / "run") is not None) == refused
    assert file.read_bytes() == held


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "paired"), "compress needs a budget"),
        (("--budget", "1/2"), "compress needs images"),
        (("--data", "paired", "--budget", "2"), "cannot reach it"),
        (("--data", "nowhere", "--budget", "1/2"), "no data set at nowhere"),
        (("--data", "paired", "--budget", "half"), "must be a positive whole number, or a share"),
        (("--data", "paired", "--budget", "1/2", "--task", "labels"), "--task must be one that compress knows"),
        (("--data", "paired", "--budget", "1/2", "--method", "cf_gan"), "--method must be one that compresses"),
        (("--data", "paired", "--budget", "1/2", "--ngf", "4"), "must follow its family or class"),
        (("--data", "paired", "--budget", "1/2", "--key", "params_ema"), "--key must name a part of net.pth"),
        (
            ("--data", "paired", "--budget", "1/2", "--method", "gan_compression"),
            "gan_compression needs the original's discriminator too (--discriminator FILE); or leave --method out",
        ),
        (
            ("--data", "paired/train", "--budget", "1/2", "--discriminator", "net_D.pth"),
            "--discriminator needs real images to compare with",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_two(place, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(place)
    torch.save(build_generator("resnet", ngf=4, blocks=2).state_dict(), tmp_path / "net.pth")
    done = slimgen("compress", tmp_path / "net.pth", "--size", 32, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "\n" not in done.stderr.strip()


@pytest.mark.parametrize("task", [None, "upscale"])
def test_a_size_that_a_family_refuses_is_refused_in_its_own_words(pictures, tmp_path, task):
    torch.save(build_generator("rrdbnet", channels=4, blocks=1, scale=2).state_dict(), tmp_path / "net.pth")
    with pytest.raises(RecipeError, match=r"^the sides of images for an RRDBNet .*; got 9 x 9; choose another size"):
        plan(asked(tmp_path, tmp_path / "net.pth", data=pictures, size=Size(9, 9), task=task))
