"""Variants and other forms of an exported generator, from a recipe to files that run without slimgen."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import pytest
from PIL import Image

from slimgen import stages
from slimgen.errors import RecipeError
from slimgen.export.metadata import UNKNOWN, properties_of
from slimgen.recipe import Recipe
from slimgen.run.record import read_record
from tests.quiet import quiet

NAMES = ("fp32", "fp16", "int8")
TOLD: list[tuple[str, int, int]] = []  # the progress of the run


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = (Path(__file__).parent / "tiny.yaml").read_text()
    plain, options = "export: {variants: [fp32]}", "{static: [[2, 32, 16]], bytes: true, edge: true, deploy: int8}"
    assert plain in text
    recipe = Recipe.parse(text.replace(plain, f"export: {options}"))
    out = tmp_path_factory.mktemp("exported") / "run"
    stages.run(recipe, data=images, out=out, progress=lambda *step: TOLD.append(step[:3]))
    return out


@pytest.fixture(scope="module")
def card(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "export" / "card.json").read_text())
    return found


def call(path: Path, given: numpy.ndarray) -> numpy.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    made: numpy.ndarray = session.run(None, {session.get_inputs()[0].name: given})[0]
    return made


def test_the_progress_counts_every_step_and_ends_at_the_last(run: Path) -> None:
    steps = [(done, total) for what, done, total in TOLD if what == "export"]
    assert steps == [(number, len(steps)) for number in range(1, len(steps) + 1)]


def test_each_variant_is_there_with_its_size_quality_and_time(run: Path, card: dict[str, Any]) -> None:
    variants = {one["name"]: one for one in card["variants"]}
    assert tuple(variants) == NAMES
    for one in variants.values():
        assert (run / "export" / one["file"]).stat().st_size == one["bytes"]
        assert one["p95_ms"] >= one["p50_ms"] > 0
        assert one["quality"].keys() == {"psnr", "ssim"}
        assert one["change"]["psnr"] == pytest.approx(one["quality"]["psnr"] - variants["fp32"]["quality"]["psnr"])
    assert sum(one["recommended"] for one in variants.values()) == 1
    # Evaluated in PyTorch and, as a file, in onnxruntime: the same network on the same pictures.
    table = json.loads((run / "evaluate" / "table.json").read_text())
    found = next(row for row in table["rows"] if row["name"] == "found")
    assert variants["fp32"]["quality"]["psnr"] == pytest.approx(found["metrics"]["psnr"], abs=1e-3)
    metrics = read_record(run / "export")["metrics"]
    assert metrics["int8.psnr"] == variants["int8"]["quality"]["psnr"]
    assert metrics["fp16.bytes"] == variants["fp16"]["bytes"] < metrics["bytes"]


def test_a_table_of_a_recipe_that_deploys_int8_has_the_times_of_int8(run: Path) -> None:
    rows = json.loads((run / "evaluate" / "table.json").read_text())["rows"]
    assert {row["latency"]["variant"] for row in rows} == {"int8 nchw"}


def test_every_file_says_what_it_is(run: Path, card: dict[str, Any]) -> None:
    digests = set()
    for one in (*card["variants"], *card["files"]):
        says = properties_of((run / "export" / one["file"]).read_bytes())
        assert says["task"] == "paired"
        assert says["recipe"] == "tiny"
        assert says["channel_order"] == "RGB"
        assert says["value_range"] == "[-1, 1]"
        assert json.loads(says["genotype"]) == card["genotype"]
        assert says["licence"]
        digests.add(says["card"])
    assert len(digests) == 1
    assert digests != {UNKNOWN}


def test_another_size_and_a_batch_run_in_every_variant(run: Path, card: dict[str, Any]) -> None:
    given = numpy.random.default_rng(0).uniform(-1, 1, (3, 3, 24, 40)).astype(numpy.float32)
    plain = call(run / "export" / "generator.onnx", given)
    for one in card["variants"]:
        got = call(run / "export" / one["file"], given)
        assert got.shape == plain.shape == given.shape
        assert numpy.abs(got - plain).mean() < 0.05


def test_the_file_of_one_shape_and_the_one_for_phones_take_that_shape(run: Path, card: dict[str, Any]) -> None:
    given = numpy.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 16)).astype(numpy.float32)
    plain = call(run / "export" / "generator.onnx", given)
    kinds = {one["kind"]: one for one in card["files"] if one["kind"] != "bytes"}
    assert kinds.keys() == {"static", "edge"}
    for one in kinds.values():
        assert numpy.abs(call(run / "export" / one["file"], given) - plain).max() < 1e-5
    assert kinds["edge"]["verdict"].startswith("CoreML: YES, ")


def test_the_cards_own_lines_run_on_8_bit_pictures_with_neither_slimgen_nor_torch(
    run: Path, card: dict[str, Any], tmp_path: Path
) -> None:
    """Another size than the training's, several pictures at once, in an interpreter with only what the card names."""
    text = (run / "export" / "card.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[1].replace('["picture.png"]', '["one.png", "two.png"]')
    assert ".resize((16, 16))" in code  # a picture of any size serves; here the pictures have one that the file takes
    code = code.replace(".resize((16, 16))", "")
    name = re.search(r'InferenceSession\("(.+?)"\)', code)
    assert name is not None
    assert name.group(1) in [one["file"] for one in card["files"]]
    (tmp_path / name.group(1)).write_bytes((run / "export" / name.group(1)).read_bytes())
    pictures = numpy.random.default_rng(0).integers(0, 256, (2, 32, 24, 3), dtype=numpy.uint8)
    for picture, of in zip(pictures, ("one", "two"), strict=True):
        Image.fromarray(picture).save(tmp_path / f"{of}.png")
    alone = "import sys\nassert not {'slimgen', 'torch', 'scipy', 'onnx'} & sys.modules.keys()\n"
    subprocess.run([sys.executable, "-W", "error", "-c", code + alone], cwd=tmp_path, check=True)
    best = next(one for one in card["variants"] if one["recommended"])
    values = pictures.transpose(0, 3, 1, 2).astype(numpy.float32) / 127.5 - 1
    expected = ((call(run / "export" / best["file"], values) + 1) * 127.5).round().clip(0, 255).transpose(0, 2, 3, 1)
    for number, picture in enumerate(expected):
        with Image.open(tmp_path / f"generated{number}.png") as made:
            assert numpy.abs(numpy.asarray(made).astype(int) - picture).max() <= 1


def test_a_shape_that_the_generator_does_not_take_is_refused_with_the_rule(run: Path, images: Path) -> None:
    recipe = Recipe.parse(read_record(run / "export")["recipe"])
    recipe = recipe.model_copy(update={"export": recipe.export.model_copy(update={"static": ((1, 2, 2),)})})
    with pytest.raises(RecipeError, match=r"\[1, 2, 2\] must be a shape that generators take"):
        stages.run(recipe, data=images, out=run, progress=quiet)
    assert (run / "export" / "card.json").is_file()  # what was there stays
