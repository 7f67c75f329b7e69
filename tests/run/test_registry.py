"""Aliases of real exports: two fine-tunings of one search, of which one is better."""

import json
import os
import shutil
from pathlib import Path

import pytest

from slimgen.errors import ExportError
from slimgen.recipe import Recipe
from slimgen.run.record import read_record
from slimgen.run.tracking import sync
from slimgen.stages.perform import perform
from slimgen.stages.table import STAGES
from tests.quiet import quiet

TINY = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text())
NAME = "shared"


@pytest.fixture(scope="module")
def pair(tiny_run, tmp_path_factory) -> tuple[Path, Path]:
    """The exports of two runs under one model's name, the worse one first."""
    home = tmp_path_factory.mktemp("runs")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        for updates in (4, 9):
            out = shutil.copytree(tiny_run, home / f"updates{updates}")
            found.append(export(out, updates))
    worse, better = sorted(found, key=quality)
    assert quality(worse) < quality(better)
    return worse, better


def export(run: Path, updates: int, *settings: str) -> Path:
    """The last stages of a run with other settings, in its folder."""
    recipe = TINY.override([f"finetune.updates={updates}", f"export.model={NAME}", *settings])
    folders = {stage: run / stage for stage in STAGES}
    for stage in ("finetune", "evaluate", "export"):
        reads = {name: folders[name] for name in STAGES[stage].reads}
        perform(stage, recipe, out=folders[stage], progress=quiet, **reads)
    return run


def quality(run: Path) -> float:
    return json.loads((run / "evaluate" / "metrics.json").read_text())["found.psnr"]


def of(client, run: Path) -> str:
    """The version of a run's export."""
    digest = read_record(run / "export")["outputs"]["generator.onnx"]["sha256"]
    (version,) = client.search_model_versions(f"name = '{NAME}' and tags.sha256 = '{digest}'")
    return str(version.version)


def aliases(client) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model(NAME).aliases.items()}


def best(client) -> set[str]:
    return {str(one.version) for one in client.search_model_versions(f"name = '{NAME}' and tags.best = 'true'")}


def test_a_worse_version_that_comes_later_is_candidate_and_the_champion_stays(client, pair) -> None:
    worse, better = pair
    for run in (better, worse, better, worse):
        sync(run / "export")
    assert len(client.search_model_versions(f"name = '{NAME}'")) == 2
    assert aliases(client) == {"champion": of(client, better), "candidate": of(client, worse)}
    assert best(client) == {of(client, better)}


def test_a_better_version_takes_the_alias_and_syncing_the_old_run_does_not_take_it_back(client, pair) -> None:
    worse, better = pair
    sync(worse / "export")
    assert aliases(client) == {"champion": of(client, worse), "candidate": of(client, worse)}
    for run in (better, worse, worse):
        sync(run / "export")
    assert aliases(client) == {"champion": of(client, better), "candidate": of(client, better)}
    assert best(client) == {of(client, better)}


def test_a_champion_that_a_person_chose_stays(client, pair) -> None:
    worse, better = pair
    sync(better / "export")
    sync(worse / "export")
    client.set_registered_model_alias(NAME, "champion", of(client, worse))
    sync(better / "export")
    assert aliases(client)["champion"] == of(client, worse)


def test_a_champion_from_before_versions_were_compared_gives_way(client, pair) -> None:
    worse, better = pair
    sync(better / "export")
    old = of(client, better)
    for tag in ("class", "score", "goal", "best"):
        client.delete_model_version_tag(NAME, old, tag)
    sync(worse / "export")
    assert aliases(client)["champion"] == of(client, worse)
    sync(better / "export")  # and once it is compared, it takes the alias back
    assert aliases(client)["champion"] == old


def test_a_version_measured_on_other_images_takes_no_alias_and_is_the_best_of_its_own_class(
    client, pair, tmp_path
) -> None:
    worse, better = pair
    sync(worse / "export")
    fewer = shutil.copytree(better, tmp_path / "fewer")
    export(fewer, 4 if better.name.endswith("4") else 9, "evaluate.images=2")
    sync(fewer / "export")
    (other,) = (v for v in client.search_model_versions(f"name = '{NAME}'") if str(v.version) != of(client, worse))
    assert aliases(client) == {"champion": of(client, worse), "candidate": str(other.version)}
    assert "psnr of 2 images" in other.tags["class.protocol"]
    assert best(client) == {of(client, worse), str(other.version)}


def test_a_version_tells_its_figures_its_files_digest_and_its_card(client, pair) -> None:
    worse, _ = pair
    sync(worse / "export")
    (version,) = client.search_model_versions(f"name = '{NAME}'")
    table = json.loads((worse / "evaluate" / "table.json").read_text())
    found = next(row for row in table["rows"] if row["name"] == "found")
    record = read_record(worse / "export")
    assert float(version.tags["psnr"]) == found["metrics"]["psnr"]
    assert float(version.tags["ssim"]) == found["metrics"]["ssim"]
    assert int(version.tags["macs.exact"]) == found["macs"]["exact"]
    assert int(version.tags["macs.thop"]) == found["macs"]["thop"]
    assert int(version.tags["params"]) == found["params"]
    assert int(version.tags["fp32.bytes"]) == record["outputs"]["generator.onnx"]["bytes"]
    assert float(version.tags["fp32.p50_ms"]) > 0
    assert version.tags["sha256"] == record["outputs"]["generator.onnx"]["sha256"]
    assert version.tags["class.budget"].startswith("macs ")
    assert version.description.startswith(f"# {NAME}")


def test_the_generators_of_a_table_are_models_that_are_found_by_quality_and_time(client, pair) -> None:
    worse, _ = pair
    for _ in range(2):  # the second time adds nothing
        sync(worse)
    experiment = client.get_experiment_by_name("slimgen").experiment_id
    table = json.loads((worse / "evaluate" / "table.json").read_text())
    rows = {row["name"]: row for row in table["rows"]}
    order = [{"field_name": "metrics.psnr", "ascending": False}]
    models = client.search_logged_models([experiment], "model_type = 'PyTorch network'", order_by=order)
    assert [one.name for one in models] == [
        f"{worse.name} {name}" for name in sorted(rows, key=lambda name: -rows[name]["metrics"]["psnr"])
    ]
    evaluated = client.search_runs([experiment], "tags.`slimgen.stage` = 'evaluate'")[0]
    (images,) = evaluated.inputs.dataset_inputs
    assert [tag.value for tag in images.tags] == ["test"]
    for one in models:
        row = rows[one.params["row"]]
        figures = {metric.key: metric for metric in one.metrics}
        assert figures["psnr"].value == row["metrics"]["psnr"]
        assert figures["psnr"].dataset_digest == images.dataset.digest
        assert figures["p50_ms"].value == row["latency"]["p50_ms"]
        assert figures["macs"].value == row["macs"]["exact"]
        assert one.params["method"] == "cf_gan"
        assert one.params["family"] == row["family"]
    assert "path " in models[[one.params["row"] for one in models].index("found")].params["genotype"]
    (exported,) = client.search_logged_models([experiment], "model_type = 'ONNX file'")
    figures = {metric.key: metric.value for metric in exported.metrics}
    assert figures["psnr"] == rows["found"]["metrics"]["psnr"]
    assert figures["fp32.p50_ms"] > 0
    assert exported.params["family"] == "trellis"


def test_a_file_that_does_not_agree_with_the_network_is_registered_nowhere(client, pair, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{os.path.join(os.getcwd(), 'mlflow.db')}")
    run = shutil.copytree(pair[0], tmp_path / "strict")
    shutil.rmtree(run / "export")
    with pytest.raises(ExportError):
        export(run, 4 if pair[0].name.endswith("4") else 9, "export.parity=1e-12")
    assert (run / "export" / "generator.onnx").is_file()
    sync(run)
    experiment = client.get_experiment_by_name("slimgen").experiment_id
    (failed,) = client.search_runs([experiment], "tags.`slimgen.stage` = 'export'")
    assert failed.info.status == "FAILED"
    assert client.search_registered_models() == []
    assert client.search_logged_models([experiment], "model_type = 'ONNX file'") == []
