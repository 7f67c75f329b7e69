import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import slimgen
from slimgen import stages
from slimgen.cli.app import app
from slimgen.errors import BudgetError, RecipeError, RunError
from slimgen.files import write_json
from slimgen.nets import build_generator
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.report.table import read_table
from slimgen.run import tracking
from slimgen.run.record import LOOKED_AT, name_of
from slimgen.run.store import load_mlflow
from slimgen.search import Genotype
from slimgen.stages.bodies.export import in_turns
from slimgen.stages.label import label_of
from slimgen.stages.perform import compare_processes
from slimgen.stages.summary import found
from slimgen.stages.table import STAGES
from slimgen.text import amount
from tests.quiet import quiet

TINY_FILE = Path(__file__).parent / "tiny.yaml"
TINY = Recipe.parse(TINY_FILE.read_text())


@pytest.fixture(scope="module")
def finished(tiny_run, tmp_path_factory) -> Path:
    """The run that all files share, in a folder that the tests of this file may change."""
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "run"))


def record(out: Path, stage: str) -> dict:
    return json.loads((out / stage / "stage.json").read_text())


def test_every_stage_leaves_its_record(finished: Path) -> None:
    for stage in STAGES:
        found = record(finished, stage)
        assert found["stage"] == stage
        assert found["finished"]
        assert found["outputs"]
        assert {"slimgen", "torch"} <= set(found["versions"])
        assert not (finished / stage / "checkpoints").exists()


def test_the_found_generator_meets_the_budget_and_is_the_trained_one(finished: Path) -> None:
    table = json.loads((finished / "evaluate" / "table.json").read_text())
    rows = {row["name"]: row for row in table["rows"]}
    assert rows["found"]["macs"]["exact"] <= rows["original"]["macs"]["exact"] / 4
    assert rows["narrowed"]["macs"]["exact"] >= rows["found"]["macs"]["exact"]
    assert rows["narrowed"]["updates"] == 8 + 4
    about = json.loads((finished / "finetune" / "networks.json").read_text())["found"]
    net = build_generator(about["family"], **about["options"])
    net.load_state_dict(load_weights(finished / "finetune" / "found.safetensors"))
    assert sum(parameter.numel() for parameter in net.parameters()) == rows["found"]["params"]


def test_the_result_is_printed_against_the_budget_before_the_next_steps(finished: Path, images: Path) -> None:
    winner = json.loads((finished / "search" / "genotype.json").read_text())
    line = found(TINY, finished / "search")
    assert line.startswith(f"found {winner['genotype']['path']}: {amount(winner['costs']['macs'])} of 298 k MACs, ")
    assert line.endswith(f"parameters; budget kept; PSNR {winner['quality']['psnr']:.4g} without fine-tuning")
    words = ["run", str(TINY_FILE), "--data", str(images), "--out", str(finished)]
    shown = CliRunner().invoke(app, words).stdout
    assert f"found: {amount(winner['costs']['macs'])} of 298 k MACs" in shown
    assert "budget kept." in shown
    assert f"slimgen compare {finished.parent}" in shown
    assert "original" not in CliRunner().invoke(app, [*words, "--brief"]).stdout


@pytest.fixture(scope="module")
def elsewhere(finished: Path, tmp_path_factory) -> tuple[Path, dict[str, float]]:
    """The run evaluated where onnxruntime is not installed, with another convention; the folder, and the metrics."""
    out = tmp_path_factory.mktemp("elsewhere") / "evaluate"
    folders = {stage: finished / stage for stage in ("prepare", "teach", "search", "finetune")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        recipe = TINY.override(["budget.convention=torchprofile"])
        return out, stages.evaluate(recipe, **folders, out=out, progress=quiet)


def test_costs_are_printed_under_the_budgets_convention(elsewhere: tuple[Path, dict[str, float]]) -> None:
    out, metrics = elsewhere
    rows = json.loads((out / "table.json").read_text())["rows"]
    assert {f"{row['name']}.macs": row["macs"]["torchprofile"] for row in rows} == {
        name: value for name, value in metrics.items() if name.endswith(".macs")
    }
    assert metrics["original.macs"] > rows[0]["macs"]["exact"]


def test_every_latency_is_onnxruntimes_of_the_exported_form_with_pytorchs_beside_it(finished: Path) -> None:
    rows = json.loads((finished / "evaluate" / "table.json").read_text())["rows"]
    metrics = record(finished, "evaluate")["metrics"]
    for row in rows:
        assert row["latency"]["runtime"].startswith("onnxruntime 1.")
        assert row["torch_latency"]["runtime"].startswith("torch 2.")
        assert metrics[f"{row['name']}.latency_ms"] == row["latency"]["p50_ms"]
        assert metrics[f"{row['name']}.torch_latency_ms"] == row["torch_latency"]["p50_ms"]
    assert "MACs and latency relative to the original" in (finished / "evaluate" / "report.html").read_text()
    card = (finished / "export" / "card.md").read_text()
    assert all(
        f"| {name}, in turns | {runtime}" in card for name in ("original", "found") for runtime in ("onnx", "torch")
    )


def test_the_card_of_an_older_table_tells_the_latencies_that_it_holds() -> None:
    lines = {name: {"latency": {"runtime": "torch 2.13.0 cpu", "p50_ms": 1.0}} for name in ("original", "found")}
    told = in_turns(lines)
    assert [line["measured"] for line in told] == ["original, in turns", "found, in turns"]
    assert {line["runtime"] for line in told} == {"torch 2.13.0 cpu"}


def test_without_onnxruntime_a_run_is_evaluated_with_a_note(
    elsewhere: tuple[Path, dict[str, float]],
) -> None:
    out, metrics = elsewhere
    rows = read_table(out / "table.json").rows
    assert [row.runtime.partition(", as ")[2] for row in rows] == ["onnxruntime is not installed"] * len(rows)
    assert all(row.runtime.startswith("torch 2.") and row.p50_ms == row.torch_p50_ms for row in rows)
    assert metrics["found.latency_ms"] == metrics["found.torch_latency_ms"]
    assert "as onnxruntime is not installed" in (out / "report.html").read_text()


def test_a_finished_run_is_opened_as_an_object(finished: Path) -> None:
    run = slimgen.open_run(finished)
    assert (run.name, run.recipe) == (finished.name, TINY)
    assert list(run.stages) == list(STAGES)
    assert run.metrics["found.macs"] == run.table.rows[1].macs["exact"]
    assert run.genotype in {trial.genotype for trial in run.trials}
    assert run.generators == ["original", "found", "narrowed"]
    images = torch.from_numpy(np.load(finished / "evaluate" / "samples.npz")["input"])
    with torch.no_grad():
        assert run.generator()(images).shape == images.shape
        assert not torch.equal(run.generator("original")(images), run.generator("found")(images))
    assert all(path.is_file() for path in (run.onnx, run.card, run.report))
    assert "| found |" in run._repr_markdown_()
    with pytest.raises(RunError, match="did you mean 'found'"):
        run.generator("fuond")


def test_fair_run_has_no_violation_of_definition_3_1(finished: Path) -> None:
    updates = json.loads((finished / "supernet" / "updates.json").read_text())
    assert updates["violations"] == []
    assert set(updates["generator"].values()) == {2}
    assert updates["generator"] == updates["discriminator"]
    assert set(updates["operators"].values()) == {2}


def test_the_exported_file_gives_the_networks_outputs(finished: Path) -> None:
    import onnxruntime

    about = json.loads((finished / "finetune" / "networks.json").read_text())["found"]
    net = build_generator(about["family"], **about["options"]).eval()
    net.load_state_dict(load_weights(finished / "finetune" / "found.safetensors"))
    images = np.load(finished / "evaluate" / "samples.npz")["input"]
    session = onnxruntime.InferenceSession(finished / "export" / "generator.onnx")
    (got,) = session.run(None, {session.get_inputs()[0].name: images})
    with torch.no_grad():
        assert np.abs(net(torch.from_numpy(images)).numpy() - got).max() < 1e-3
    assert record(finished, "export")["metrics"]["parity_max_abs"] < 1e-3


def test_the_report_is_self_contained_and_all_trials_are_logged(finished: Path) -> None:
    page = (finished / "evaluate" / "report.html").read_text()
    assert "data:image/" in page
    assert 'src="http' not in page
    lines = (finished / "search" / "trials.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps.count("path") == 4
    assert steps.count("operator") == 27
    assert steps.count("channel") == 18


def test_search_goes_from_coarse_to_fine(finished: Path) -> None:
    trials = [json.loads(line) for line in (finished / "search" / "trials.jsonl").read_text().splitlines()]
    best = {
        step: max((trial for trial in trials if trial["step"] == step), key=lambda trial: trial["quality"]["psnr"])
        for step in ("path", "operator", "channel")
    }
    for finer, coarser, kept in (("operator", "path", "path"), ("channel", "operator", "operator.")):
        for trial in (trial for trial in trials if trial["step"] == finer):
            for name, value in best[coarser]["genotype"].items():
                assert not name.startswith(kept) or trial["genotype"][name] == value
    winner = json.loads((finished / "search" / "genotype.json").read_text())
    last = [trial for trial in trials if trial["step"] in ("even", "channel")]
    best_of_all = max(last, key=lambda trial: trial["quality"]["psnr"])
    assert winner["key"] == best_of_all["key"] == Genotype.from_json(winner["genotype"]).key


def test_second_run_does_nothing(finished: Path, images: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    seen = []
    stages.run(
        TINY,
        data=images,
        out=finished,
        progress=quiet,
        on_stage=lambda name, metrics, seconds, skipped: seen.append((name, skipped)),
    )
    assert seen == [(stage, True) for stage in STAGES]
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}


def test_a_run_has_the_name_of_its_folder_and_only_a_given_licence(finished: Path) -> None:
    page, card = (finished / "evaluate" / "report.html").read_text(), (finished / "export" / "card.md").read_text()
    assert f"<h1>{finished.name}</h1>" in page
    assert "Recipe tiny: the whole path" in page
    assert f"\n# {finished.name}\n" in card
    assert "licence" not in (page + card).lower()
    assert name_of(finished / "teach") == finished.name


def test_another_name_and_licence_are_shown_everywhere_and_nothing_is_computed(
    finished: Path, images: Path, template: Path, tmp_path: Path, monkeypatch
) -> None:
    shutil.copy(template, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")

    def computed() -> dict[Path, int]:
        files = [path for path in finished.rglob("*") if path.is_file() and path.name != "stage.json"]
        return {path: path.stat().st_mtime_ns for path in files if not path.name.endswith(LOOKED_AT)}

    before, prints = computed(), [record(finished, stage)["fingerprint"] for stage in STAGES]
    stages.run(TINY.override(["data.licence=CC0"]), data=images, out=finished, name="mine", progress=quiet)
    page, card = (finished / "evaluate" / "report.html").read_text(), (finished / "export" / "card.md").read_text()
    assert "<title>slimgen: mine</title>" in page
    assert "CC0" in page
    assert "\n# mine\n" in card
    assert "Licence of the data: CC0" in card
    assert all(record(finished, stage)["label"] == {"name": "mine", "licence": "CC0"} for stage in STAGES)
    client = load_mlflow().MlflowClient(tracking.store())
    [parent] = client.search_runs(["1"], f"tags.`slimgen.kind` = 'recipe' and tags.`slimgen.group` = '{finished}'")
    assert (parent.info.run_name, parent.data.tags["recipe"]) == ("mine", "tiny")
    assert [model.name for model in client.search_registered_models()] == ["mine"]
    slimgen.run(TINY, data=images, out=finished, progress=quiet)
    assert f"<h1>{finished.name}</h1>" in (finished / "evaluate" / "report.html").read_text()
    assert computed() == before
    assert [record(finished, stage)["fingerprint"] for stage in STAGES] == prints


@pytest.mark.parametrize("name", ["a/b", "", "..", "con", "x" * 200])
def test_a_name_is_a_plain_name(name: str, images: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--name must be a plain name"):
        stages.run(TINY, data=images, out=tmp_path / "run", name=name)
    assert not (tmp_path / "run").exists()


def test_a_licence_is_known_of_images_that_slimgen_drew_or_downloaded_and_of_no_others(tmp_path: Path) -> None:
    own, drawn = tmp_path / "own", tmp_path / "drawn"
    (own / "train").mkdir(parents=True)
    for split in ("train", "test"):
        (drawn / split / "townhouses").mkdir(parents=True)
    embedded = TINY.override(["data.embedded=townhouses"])

    def licence(recipe: Recipe, images: Path) -> str | None:
        return label_of(None, recipe, tmp_path / "run" / "prepare", {"data": images}).licence

    assert licence(embedded, drawn) == "MIT, like slimgen, which draws the images itself"
    assert licence(TINY, drawn) is None
    assert licence(embedded, own) is None
    (drawn / "train" / "mine").mkdir()  # other pictures among them
    assert licence(embedded, drawn) is None
    write_json(own / "source.json", {"name": "facades", "url": "u", "sha256": "0", "terms": "research use, cite."})
    assert licence(TINY, own) == "research use, cite."
    assert licence(TINY.override(["data.licence=mine"]), own) == "mine"
    (own / "source.json").write_text("damaged")
    assert licence(TINY, own) is None


def test_resuming_with_another_number_of_processes_warns(finished: Path, capsys) -> None:
    done = record(finished, "teach")
    assert done["processes"] == 1
    mark = done["fingerprint"]
    begun = {"fingerprint": mark, "finished": False, "processes": 2}
    for before in (done, {**begun, "fingerprint": "another"}, {**begun, "processes": 1}, {}):
        compare_processes(before, mark)
    assert capsys.readouterr().err == ""
    compare_processes(begun, mark)
    assert "started with 2 and resumed with 1 processes" in capsys.readouterr().err


def test_editing_the_export_exports_again_and_trains_nothing(finished: Path, images: Path) -> None:
    seen = {}
    stages.run(
        TINY.override(["export.dynamic=false"]),
        data=images,
        out=finished,
        progress=quiet,
        on_stage=lambda name, metrics, seconds, skipped: seen.update({name: skipped}),
    )
    assert seen == {stage: stage != "export" for stage in STAGES}


def test_the_same_recipe_gives_the_same_bits_in_another_folder(finished: Path, images: Path, tmp_path: Path) -> None:
    again = tmp_path / "apart" / "run"  # beside the finished run, it would be taken over instead of computed
    stages.run(TINY, data=images, out=again, progress=quiet, until="finetune")
    for stage, name in (("supernet", "generator"), ("finetune", "found"), ("finetune", "narrowed")):
        assert "copied_from" not in record(again, stage)
        one = load_weights(finished / stage / f"{name}.safetensors")
        two = load_weights(again / stage / f"{name}.safetensors")
        assert all(torch.equal(one[key], two[key]) for key in one)
    for name in ("genotype.json", "trials.jsonl"):
        assert (finished / "search" / name).read_bytes() == (again / "search" / name).read_bytes()


@pytest.fixture(scope="module")
def trained(finished: Path) -> dict[str, Path]:
    return {stage: finished / stage for stage in ("prepare", "teach", "supernet")}


STEPS = {"path", "operator", "even", "channel"}


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (["search.order=joint"], {"joint"}),
        (["search.variation=undirected"], STEPS),
        (["search.variation=random"], STEPS),
        (["search.path=4-4-2"], STEPS),
        (["search.operators=dws"], STEPS),
        (["search.operators=[dws, resblock, conv3x3]", "search.path=4-2-2"], STEPS),
    ],
)
def test_comparisons_of_the_paper_are_options_of_the_recipe(settings, steps, trained, tmp_path) -> None:
    recipe = TINY.override([*settings, "search.evaluations=20", "search.operator_share=0.4"])
    stages.search(recipe, **trained, out=tmp_path, progress=quiet)
    trials = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert {trial["step"] for trial in trials} == steps
    winner = json.loads((tmp_path / "genotype.json").read_text())
    assert winner["costs"]["macs"] <= winner["limits"]["macs"]
    if recipe.search.get("path"):
        assert {trial["genotype"]["path"] for trial in trials} == {recipe.search["path"]}
    if recipe.search.get("operators") == "dws":
        assert all(trial["genotype"][f"operator.g{group}b0"] == "dws" for trial in trials for group in range(3))


def test_uniform_sampling_is_shown_to_be_unfair(trained, tmp_path) -> None:
    recipe = TINY.override(["supernet.sampling=uniform"])
    inputs = {name: trained[name] for name in ("prepare", "teach")}
    metrics = stages.supernet(recipe, **inputs, out=tmp_path, progress=quiet)
    assert metrics["fairness_violations"] > 0


def test_perceptual_loss_takes_the_original_discriminator(trained, tmp_path) -> None:
    recipe = TINY.override(["losses.perceptual=1", "supernet.updates=4"])
    inputs = {"prepare": trained["prepare"]}
    stages.teach(recipe, **inputs, out=tmp_path / "teach", progress=quiet)
    stages.supernet(recipe, **inputs, teach=tmp_path / "teach", out=tmp_path / "supernet", progress=quiet)
    line = json.loads((tmp_path / "supernet" / "log-supernet.jsonl").read_text().splitlines()[0])
    assert line["generator.perceptual"] > 0


def test_budget_below_the_smallest_network_names_its_cost(trained, tmp_path) -> None:
    with pytest.raises(BudgetError, match=r"smallest network of this space has [\d,]+ macs"):
        stages.search(TINY.override(["budget.macs=100"]), **trained, out=tmp_path, progress=quiet)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("search.populaton=3", "population"),
        ("supernet.ngff=3", "ngf"),
        ("search.path=4-2-4", "4-2-"),
        ("search.operators=resblok", "resblock"),
        ("method=cf_gam", "cf_gan"),
        ("task=pair", "paired"),
        ("size=20", "multiples of 8"),
    ],
)
def test_faults_of_a_recipe_are_reported_before_anything_is_computed(setting, message, images, tmp_path) -> None:
    with pytest.raises(RecipeError, match=message):
        stages.run(TINY.override([setting]), data=images, out=tmp_path, progress=quiet)
    assert not (tmp_path / "prepare").exists()


def test_unfinished_input_is_refused_by_name(trained, tmp_path) -> None:
    with pytest.raises(RunError, match="teach"):
        stages.supernet(TINY, prepare=trained["prepare"], teach=tmp_path, out=tmp_path / "o", progress=quiet)
    with pytest.raises(RunError, match="prepare stage"):
        stages.supernet(TINY, prepare=trained["prepare"], teach=trained["prepare"], out=tmp_path / "o", progress=quiet)


def test_a_run_of_an_earlier_version_is_reported_in_one_line_and_kept(trained, images, tmp_path) -> None:
    """A record as slimgen 0.1.0 wrote it, before layouts were counted."""
    outputs = {"generator.safetensors": {"sha256": "0" * 64, "bytes": 3}}
    earlier = {"recipe": "name: tiny\n", "inputs": {"prepare": "0" * 64}, "seed": 0, "seconds": 7.5, "metrics": {}}
    earlier |= {"stage": "teach", "fingerprint": "0" * 64, "finished": True, "found": {}, "outputs": outputs}
    earlier |= {"digest": "0" * 64, "versions": {"slimgen": "0.1.0"}, "machine": {"cores": 2}}
    (tmp_path / "teach").mkdir()
    (tmp_path / "teach" / "generator.safetensors").write_bytes(b"old")
    (tmp_path / "teach" / "stage.json").write_text(json.dumps(earlier))
    with pytest.raises(RunError, match=r"teach was written by an earlier slimgen; it is kept; name another --out"):
        stages.teach(TINY, prepare=trained["prepare"], out=tmp_path / "teach", progress=quiet)
    with pytest.raises(RunError, match=r"teach was written by an earlier slimgen; run slimgen teach again"):
        stages.supernet(TINY, prepare=trained["prepare"], teach=tmp_path / "teach", out=tmp_path / "o", progress=quiet)
    assert sorted(path.name for path in (tmp_path / "teach").iterdir()) == ["generator.safetensors", "stage.json"]
    assert json.loads((tmp_path / "teach" / "stage.json").read_text()) == earlier


def test_teacher_is_imported_from_published_weights(trained, tmp_path) -> None:
    weights = load_weights(trained["teach"] / "generator.safetensors")
    torch.save(weights, tmp_path / "latest_net_G.pth")
    recipe = TINY.override([f"teach.generator_checkpoint={tmp_path / 'latest_net_G.pth'}"])
    metrics = stages.teach(recipe, prepare=trained["prepare"], out=tmp_path / "teach", progress=quiet)
    assert metrics["updates"] == 0
    again = load_weights(tmp_path / "teach" / "generator.safetensors")
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_unreachable_tracker_leaves_the_stage_well(trained, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    inputs = {name: trained[name] for name in ("prepare", "teach")}
    stages.supernet(TINY, **inputs, out=tmp_path / "apart" / "supernet", progress=quiet)
    assert record(tmp_path / "apart", "supernet")["finished"]
    assert capsys.readouterr().err.count("warning:") == 1
