"""Whole stages keep what was there, find inputs that are damaged, and take no folder for another."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from slimgen import stages
from slimgen.cli.app import app
from slimgen.errors import DataError, RecipeError, RunError
from slimgen.recipe import Recipe
from slimgen.run import record as records
from slimgen.run.folder import StageFolder
from slimgen.run.place import parked
from slimgen.run.record import apart, read_record
from slimgen.stages import perform
from slimgen.stages.fingerprint import named_files, sections
from slimgen.stages.table import STAGES
from slimgen.tasks import embedded
from tests.quiet import quiet

TINY = Recipe.parse((Path(__file__).parent / "tiny.yaml").read_text())
FLAT = Recipe.parse((Path(__file__).parents[1] / "methods" / "tiny_alphagan.yaml").read_text())


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, untracked, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "machine", dict)


def prepared(images: Path, out: Path, *settings: str) -> dict[str, float]:
    return stages.prepare(TINY.override(list(settings)), data=images, out=out, progress=quiet)


def finished(out: Path, stage: str, inputs: dict[str, Path]) -> Path:
    """A folder as a stage leaves it, as far as others read it before they compute."""
    digests = {name: read_record(folder)["digest"] for name, folder in inputs.items()}
    with StageFolder(out, stage, f"{stage} of {digests}") as folder:
        (folder.path / "found.safetensors").write_bytes(f"{stage} of {digests}".encode())
        folder.finish({"metrics": {"updates": 1}} | {"inputs": digests})
    return out


def chain(run: Path, images: Path) -> dict[str, Path]:
    """Folders of all stages up to export."""
    prepared(images, run / "prepare")
    folders = {"prepare": run / "prepare"}
    for name, stage in STAGES.items():
        if name not in ("prepare", "export"):
            folders[name] = finished(run / name, name, {needed: folders[needed] for needed in stage.reads})
    return folders


def arrays(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


def test_another_value_keeps_the_result_until_it_is_replaced_and_going_back_computes_nothing(images, tmp_path, capsys):
    out = tmp_path / "run" / "prepare"
    prepared(images, out)
    before, mark = arrays(out), read_record(out)["fingerprint"]
    assert prepared(images, out, "data.direction=AtoB")["train_images"] == 8
    assert arrays(parked(out, mark)) == before != arrays(out)
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("prepare: ")]) == 2
    assert said[-1] == f"prepare: the old result in {out} is kept as {parked(out, mark).name}; slimgen tidy removes it"
    written = {path: path.stat().st_mtime_ns for path in parked(out, mark).glob("*.npy")}
    prepared(images, out)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.npy")} == {
        path.name: time for path, time in written.items()
    }


def test_a_value_that_is_refused_costs_nothing(images, tmp_path):
    out = tmp_path / "run" / "prepare"
    prepared(images, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="--out must lie outside --data"):
        prepared(tmp_path / "run", tmp_path / "run" / "other", "size=32")
    with pytest.raises(DataError, match="nowhere"):
        prepared(tmp_path / "nowhere", out)
    with pytest.raises(RecipeError, match="multiples of 8"):
        prepared(images, out, "size=20")
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "prepare"])
def test_a_flipped_bit_of_any_input_is_one_line_before_anything_is_computed(stage, images, tmp_path):
    folders = chain(tmp_path / "run", images)
    inputs = {name: folders[name] for name in STAGES[stage].reads}
    for name in inputs:
        (path,) = [*folders[name].glob("found.safetensors"), *folders[name].glob("train.target.npy")]
        whole = path.read_bytes()
        flip(path)
        words = rf"{path.name} must be unchanged since {name} wrote it; .*from a copy, or move .*{name} away and"
        with pytest.raises(RunError, match=words) as fault:
            stages.__getattr__(stage)(TINY, **inputs, out=tmp_path / "new" / stage, progress=quiet)
        assert "\n" not in str(fault.value)
        assert not (tmp_path / "new").exists()
        path.write_bytes(whole)


def test_a_run_that_is_done_finds_a_flipped_bit_too_and_moving_the_folder_away_mends_it(images, tmp_path):
    out, other = tmp_path / "run", {"until": "prepare", "progress": quiet, "data": images}
    stages.run(TINY, out=out, **other)
    digest = read_record(out / "prepare")["digest"]
    flip(out / "prepare" / "train.target.npy")
    for until in ("prepare", "teach"):  # what no later stage reads is delivered, and is checked likewise
        with pytest.raises(RunError, match=r"train\.target\.npy must be unchanged since prepare wrote it"):
            stages.run(TINY, out=out, **other | {"until": until})
    assert not (out / "teach").exists()
    (out / "prepare").rename(tmp_path / "damaged")
    stages.run(TINY, out=out, **other)
    assert read_record(out / "prepare")["digest"] == digest


def test_a_neighbours_arrays_are_linked_read_only_and_its_records_are_its_own(images, tmp_path):
    one, two = tmp_path / "runs" / "one" / "prepare", tmp_path / "runs" / "two" / "prepare"
    prepared(images, one)
    prepared(images, two)
    for path in one.glob("*.npy"):
        assert path.samefile(two / path.name)
        assert not path.stat().st_mode & 0o222
    assert not (one / "manifest.json").samefile(two / "manifest.json")
    flip(one / "train.input.npy")
    with pytest.raises(RunError, match=r"train\.input\.npy must be unchanged since prepare wrote it"):
        stages.teach(TINY, prepare=two, out=tmp_path / "runs" / "two" / "teach", progress=quiet)
    # Neither is a neighbour that is damaged taken over.
    prepared(images, tmp_path / "runs" / "three" / "prepare")
    assert "copied_from" not in read_record(tmp_path / "runs" / "three" / "prepare")


def test_reports_cards_and_onnx_files_are_not_copied_from_other_runs():
    assert {name for name, stage in STAGES.items() if not stage.lent} == {"evaluate", "export"}


def pictures(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), number, np.uint8)).save(folder / name)


def test_a_run_among_flat_images_takes_no_picture_of_its_own_for_one(tmp_path, monkeypatch):
    monkeypatch.setattr(perform, "check", lambda recipe, **how: None)  # of the feature network, which no picture needs
    pictures(tmp_path, *(f"{number}.png" for number in range(20)))
    options = {"data": Path("."), "out": Path("runs") / FLAT.name, "until": "prepare", "progress": quiet}
    first = stages.run(FLAT, **options)
    finished(Path("runs") / FLAT.name / "evaluate", "evaluate", {})
    StageFolder(Path("runs/begun/search"), "search", "s").begin().release()
    (tmp_path / "runs/drawn").mkdir()
    (tmp_path / "runs/drawn/.slimgen").touch()
    (tmp_path / "mlflow.db").write_bytes(b"store")
    own = (f"runs/{FLAT.name}/evaluate/grid.png", "runs/begun/search/pareto.png", "mlartifacts/1/a/grid.png")
    pictures(tmp_path, *own, "runs/drawn/train/0.png")
    done = []
    second = stages.run(FLAT, **options, on_stage=lambda name, metrics, seconds, skipped: done.append(skipped))
    assert done == [True]
    assert second == first
    # A picture of the user's is taken, wherever it lies.
    pictures(tmp_path, "runs/mine/picture.png", "mlartifacts.png")
    third = stages.run(FLAT, **options)
    assert sum(map(float, third["prepare"].values())) == sum(map(float, first["prepare"].values())) + 2


@pytest.mark.parametrize(
    ("data", "out", "words"),
    [
        ("images", "images", "--out must be another folder than --data"),
        ("images", "images/runs/mine", "--out must lie outside --data"),
        ("run/prepare", "run", "--out must be another folder than --data"),
        ("images", "run/prepare", "inside .*run/prepare of a prepare stage"),
        ("images", "documents", r"documents/teach, which holds letter\.txt"),
        ("images", "swapped", "swapped/export, of a prepare stage"),
    ],
)
def test_a_mistyped_run_folder_is_reported_before_anything_is_computed(data, out, words, images, tmp_path):
    (tmp_path / "images").symlink_to(images)
    prepared(images, tmp_path / "run" / "prepare")
    (tmp_path / "documents/teach").mkdir(parents=True)
    (tmp_path / "documents/teach/letter.txt").write_text("mine")
    prepared(images, tmp_path / "swapped" / "export")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=words):
        stages.run(TINY, data=Path(data), out=Path(out), progress=quiet)
    try:
        told = [
            said for said in stages.preview(TINY, data=Path(data), out=Path(out)).stages.values() if "refused" in said
        ]
    except RunError as error:
        told = [str(error)]
    assert re.search(words, told[0])
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_an_input_for_an_output_is_refused_and_kept(images, tmp_path):
    folders = chain(tmp_path / "run", images)
    inputs = {name: folders[name] for name in STAGES["search"].reads}
    for out in folders["supernet"], folders["teach"] / "deeper":
        with pytest.raises(RunError, match="--out must"):
            stages.search(TINY, **inputs, out=out, progress=quiet)
    assert (folders["supernet"] / "found.safetensors").is_file()
    assert not (folders["teach"] / "deeper").exists()


def test_stages_that_no_longer_belong_together_are_named(images, tmp_path):
    folders = chain(tmp_path / "run", images)
    assert apart(folders) == []
    with StageFolder(folders["finetune"], "finetune", "another") as folder:
        (folder.path / "found.safetensors").write_bytes(b"another")
        folder.finish({"inputs": read_record(folders["finetune"])["inputs"]})
    assert apart(folders) == ["Computed from another finetune than is there now: evaluate."]
    row = {"name": "original", "metrics": {"psnr": 1.0}, "macs": {"exact": 1}, "params": 1, "bytes": 4}
    (folders["evaluate"] / "table.json").write_text(json.dumps({"convention": "exact", "rows": [row]}))
    for run in tmp_path / "run", folders["evaluate"]:
        told = json.loads(CliRunner().invoke(app, ["compare", str(run), "--json"]).stdout)["notes"]
        assert told[0] == "Computed from another finetune than is there now: evaluate."
        assert told[1].startswith("Run the recipe again to bring ")


def test_pictures_half_drawn_by_a_process_that_was_killed_are_swept(tmp_path, monkeypatch):
    def draw(folder, *arguments, **options):
        pictures(folder, "train/0.png", "test/0.png")

    monkeypatch.setattr(embedded, "draw", draw)
    left = tmp_path / "run" / ".townhouses-paired-64.77" / "drawn" / "train"
    left.mkdir(parents=True)
    os.utime(left.parents[1], (0, 0))
    folder = embedded.drawn(embedded.Embedded("paired"), 64, tmp_path / "run", lambda line: None)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir()) == [".slimgen", "test", "train"]


def test_settings_without_influence_on_results_are_in_no_fingerprint():
    for stage in STAGES.values():
        first = sections(stage, TINY)
        second = sections(stage, TINY.override(["compute.checkpoint_seconds=3", "data.licence=CC0", "about=words"]))
        assert first == second


def test_comments_in_user_code_leave_finished_stages_finished(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    path = tmp_path / "mine" / "net.py"
    monkeypatch.syspath_prepend(tmp_path)
    recipe = TINY.override(["teach.generator={family: 'mine.net:Net'}"])
    body = "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x + {}\n"
    path.write_text(body.format(1))
    before = named_files(STAGES["teach"], recipe)
    assert str(path) in before
    path.write_text(
        '"""A net."""\n# Mine.\n' + body.format("1  # one").replace("Module):", 'Module):\n    """Doc."""\n')
    )
    assert named_files(STAGES["teach"], recipe) == before
    path.write_text(body.format(2))
    assert named_files(STAGES["teach"], recipe) != before
    path.write_text("this is { no Python")
    assert named_files(STAGES["teach"], recipe) != before
