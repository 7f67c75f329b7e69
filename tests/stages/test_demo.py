"""The page of a run: what it is made of, and which runs and folders it refuses. A browser opens it in tests/demo."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from slimgen import files
from slimgen.cli.app import app
from slimgen.data.prepared import Prepared
from slimgen.demo.runtime import FILES, NAME
from slimgen.device import choose
from slimgen.errors import RunError
from slimgen.recipe import Recipe
from slimgen.run.record import read_record
from slimgen.stages.demo import demo
from slimgen.stages.demo_contents import one_hot
from slimgen.tasks import open_task
from tests.demo.page import expected, part
from tests.restamped import restamped


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A package that a user might bring, of another version and without content: no browser opens these pages."""
    folder = tmp_path_factory.mktemp("package") / NAME
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "package.json").write_text(json.dumps({"name": NAME, "version": "0.0.1"}))
    return folder


@pytest.fixture(scope="module")
def page(tiny_run, package, tmp_path_factory) -> Path:
    return demo(tiny_run, tmp_path_factory.mktemp("page") / "out", package)


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def config(page: Path) -> dict:
    text = (page / "config.js").read_text()
    return json.loads(text.removeprefix("demo.config = ").rstrip().rstrip(";"))


def test_it_holds_the_original_the_exported_file_and_the_prepared_samples(page, tiny_run) -> None:
    [direction] = config(page)["directions"]
    assert [model["name"] for model in direction["models"]] == ["original", "fp32"]
    assert direction["models"][1]["title"] == "found"
    assert "PSNR" in direction["models"][0]["facts"]
    assert part(page, "forward-fp32") == (tiny_run / "export" / files.ONNX).read_bytes()
    split = Prepared.open(tiny_run / "prepare").split("test")
    assert part(page, "forward-samples") == np.ascontiguousarray(split.input).tobytes()
    assert part(page, "forward-targets") == np.ascontiguousarray(split.target).tobytes()
    assert direction["samples"]["shapes"] == [[16, 16, 3]] * len(split.names)


def test_the_original_is_the_network_of_teach(page, tiny_run) -> None:
    content = part(page, "forward-original")
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    recipe = Recipe.parse(str(read_record(tiny_run / "export")["recipe"]))
    task = open_task(recipe, choose("fp32", "cpu", 1))
    given = task.test(Prepared.open(tiny_run / "prepare")).input[:1]
    with torch.inference_mode():
        wanted = task.original(tiny_run / "teach")(given).numpy()
    np.testing.assert_allclose(expected(content, given.numpy()), wanted, atol=1e-4)


def test_nothing_in_the_folder_names_another_place(page) -> None:
    for path in page.rglob("*"):
        if path.is_file() and "parts" not in path.parts:
            text = path.read_text()
            assert "://" not in text, path
            assert 'src="//' not in text, path


def test_the_same_again_changes_nothing_and_another_card_writes_it_anew(run, package) -> None:
    said: list[str] = []
    folder = demo(run, None, package, said.append)
    assert folder == run / "demo"
    assert any(line.startswith("note: the page is tried with") for line in said)
    before = (folder / "index.html").stat().st_mtime_ns
    said.clear()
    demo(run, None, package, said.append)
    assert (folder / "index.html").stat().st_mtime_ns == before
    assert f"{folder} is up to date" in said
    (folder / "parts" / "forward-fp32-0.js").write_text("damaged")
    demo(run, None, package, said.append)
    assert part(folder, "forward-fp32") == (run / "export" / files.ONNX).read_bytes()


def with_variants(run: Path, names: tuple[str, ...]) -> None:
    """Say in the card that the exported file has variants, copies of it here, that the stage recorded."""
    card, record = run / "export" / "card.json", run / "export" / files.STAGE
    facts, stage = json.loads(card.read_text()), json.loads(record.read_text())
    facts["variants"] = [{"name": "fp32", "file": files.ONNX, "quality": {"psnr": 20.0}}]
    for name in names:
        file = f"generator_{name}.onnx"
        shutil.copy(run / "export" / files.ONNX, run / "export" / file)
        stage["outputs"][file] = {"sha256": "", "bytes": 0}
        facts["variants"].append({"name": name, "file": file, "quality": {"psnr": 19.5}, "recommended": name == "int8"})
    card.write_text(json.dumps(facts))
    record.write_text(json.dumps(stage))
    restamped(run / "export")


def test_variants_stand_beside_it_and_what_the_page_cannot_run_is_left_out_in_words(run, package) -> None:
    with_variants(run, ("fp16", "int8"))
    half = onnx.load(run / "export" / "generator_fp16.onnx")
    half.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    (run / "export" / "generator_fp16.onnx").write_bytes(half.SerializeToString())
    restamped(run / "export")
    [direction] = config(demo(run, None, package))["directions"]
    found = {model["name"]: model for model in direction["models"]}
    assert list(found) == ["original", "fp32", "int8"]
    assert found["int8"]["recommended"]
    assert found["int8"]["title"] == "found, int8"
    assert found["int8"]["facts"]["PSNR"] == "19.5"
    assert direction["notes"] == ["The variant fp16 is left out, because it takes or returns no float32."]


def test_a_variant_that_no_stage_recorded_is_not_taken(run, package) -> None:
    with_variants(run, ())
    card = run / "export" / "card.json"
    facts = json.loads(card.read_text())
    facts["variants"].append({"name": "int8", "file": "../finetune/networks.json"})
    card.write_text(json.dumps(facts))
    [direction] = config(demo(run, None, package))["directions"]
    assert [model["name"] for model in direction["models"]] == ["original", "fp32"]
    assert "networks.json is not among the export's files" in direction["notes"][0]


def test_a_changed_file_of_the_run_is_noticed(run, package) -> None:
    (run / "export" / files.ONNX).write_bytes(b"other")
    with pytest.raises(RunError, match=r"generator\.onnx must be unchanged"):
        demo(run, None, package)
    assert not (run / "demo").exists()


@pytest.mark.parametrize("stage", ["prepare", "teach", "finetune", "export"])
def test_an_unfinished_run_is_refused_in_one_line(run, package, stage) -> None:
    shutil.rmtree(run / stage)
    with pytest.raises(RunError, match=f"made of a finished run; got no finished stage {stage}"):
        demo(run, None, package)
    with pytest.raises(RunError, match="no folder"):
        demo(run / "nowhere", None, package)


@pytest.mark.parametrize("out", ["export", ".", "teach/inside"])
def test_a_folder_of_the_run_itself_is_refused(run, package, out) -> None:
    before = sorted(run.rglob("*"))
    with pytest.raises(RunError, match="--out must"):
        demo(run, run / out, package)
    assert sorted(run.rglob("*")) == before


def test_a_damaged_card_is_refused(run, package) -> None:
    (run / "export" / "card.json").write_text("{}")
    with pytest.raises(RunError, match=r"card\.json must hold the facts of the card"):
        demo(run, None, package)


def test_an_adopted_run_has_no_original(run, package) -> None:
    record = json.loads((run / "export" / files.STAGE).read_text())
    recipe = Recipe.parse(record["recipe"]).override(["method=adopted", "supernet={}", "search={}"])
    record["recipe"] = recipe.to_yaml()
    (run / "export" / files.STAGE).write_text(json.dumps(record))
    [direction] = config(demo(run, None, package))["directions"]
    assert [model["name"] for model in direction["models"]] == ["fp32"]


def test_the_rule_of_label_maps_is_that_of_the_task() -> None:
    text = (
        "name: x\ntask: labels\nmethod: gan_compression\nsize: 64\nlosses: {gan: hinge, recon: 0}\n"
        "data: {classes: 5, unknown: true, instances: true}\n"
        "teach: {generator: {family: spade, inputs: 7}, discriminator: {family: multiscale}, updates: 1}\n"
        "finetune: {updates: 1}\n"
    )
    task = open_task(Recipe.parse(text), choose("fp32", "cpu", 1))
    rng = np.random.default_rng(0)
    levels = np.stack([rng.integers(0, 6, (2, 8, 9)), rng.integers(0, 2, (2, 8, 9)) * 255], 1)
    prepared = torch.from_numpy(levels.astype(np.float32)) * (2 / 255) - 1
    assert torch.equal(one_hot(prepared, 7), task.condition(prepared))


def test_the_command_prints_where_the_page_is(run, package) -> None:
    said = CliRunner().invoke(app, ["demo", str(run), "--runtime", str(package)])
    assert said.exit_code == 0
    assert said.stdout.strip() == str(run / "demo" / "index.html")
    assert (run / "demo" / "index.html").is_file()
    wrong = CliRunner().invoke(app, ["demo", str(run), "--runtime", str(run)])
    assert wrong.exit_code == 2
