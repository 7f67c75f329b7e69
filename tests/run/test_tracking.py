import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.addresses import shown
from slimgen.errors import RunError
from slimgen.files import (
    GENOTYPE,
    METRICS,
    ONNX,
    PARETO,
    STAGE,
    TABLE,
    TRACE,
    TRIALS,
    log_file,
    write_json,
    write_lines,
)
from slimgen.run import tracking
from slimgen.run.folder import StageFolder
from slimgen.run.log import Log
from slimgen.run.record import read_record
from slimgen.run.store import load_mlflow
from slimgen.run.tracking import catch_up, sync, tracked, warning_once
from slimgen.search import Genotype, Trial


def finish(folder: StageFolder, metrics: Mapping[str, float] | None = None) -> Path:
    folder.finish({"seconds": 1.5, "metrics": metrics or {}})
    return folder.path


def runs(client, **tags: str) -> list:
    found = client.search_runs([client.get_experiment_by_name("slimgen").experiment_id])
    return [run for run in found if all(run.data.tags.get(tag.replace("__", ".")) == tags[tag] for tag in tags)]


def only(client, **tags: str):
    (run,) = runs(client, **tags)
    return run


def files(client, run_id: str, folder: str | None = None) -> list[str]:
    return sorted(file.path for file in client.list_artifacts(run_id, folder))


def counts(client) -> dict[str, int]:
    """How many values of every metric, how many runs, and how many versions there are."""
    found = {
        f"{run.info.run_id} {name}": len(client.get_metric_history(run.info.run_id, name))
        for run in runs(client)
        for name in run.data.metrics
    }
    return {**found, "runs": len(runs(client)), "versions": len(client.search_model_versions())}


def test_a_stage_is_a_run_below_the_run_of_its_recipe(client, begin, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KFP_RUN_ID", "k1")
    monkeypatch.setenv("DVC_EXP_NAME", "brave-owl")
    for stage in ("teach", "search"):
        folder = begin(stage, settings={"budget": {"macs": 1e9}, "options": [48, 32], "none": None})
        with Log(folder.path / log_file("student")) as log:
            log.log(step=3, loss=0.5, fid=np.float32(2), nan=float("nan"), word="x")
        finish(folder, {"updates": 3.0})
    sync(tmp_path / "runs/one")
    parent = only(client, slimgen__kind="recipe")
    assert (parent.info.run_name, parent.info.status) == ("townhouses", "FINISHED")
    stages = runs(client, slimgen__kind="stage")
    assert sorted(run.info.run_name for run in stages) == ["search", "teach"]
    for run in stages:
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["slimgen.fingerprint"] == "f"
        assert run.data.params == {"budget.macs": "1000000000.0", "options": "[48, 32]", "none": "None"}
        assert run.data.metrics == {"student.loss": 0.5, "student.fid": 2.0, "updates": 3.0, "seconds": 1.5}
        assert client.get_metric_history(run.info.run_id, "student.loss")[0].step == 3
        wanted = {"recipe": "townhouses", "method": "cf_gan", "task": "paired", "data": "d1"}
        wanted |= {"kfp.run": "k1", "dvc.experiment": "brave-owl"}
        assert wanted.items() <= run.data.tags.items()
        assert run.info.end_time >= run.info.start_time
    experiment = client.get_experiment_by_name("slimgen")
    assert experiment.artifact_location == (tmp_path / "mlartifacts").as_uri()


def test_a_resumed_stage_continues_its_run_and_doubles_no_metric(client, begin) -> None:
    folder = begin(settings={"a": 1})
    with Log(folder.path / log_file("x")) as log:
        for step in range(1, 7):
            log.log(step=step, loss=1 / step)
    with pytest.raises(KeyboardInterrupt), folder:
        raise KeyboardInterrupt
    sync(folder.path)
    run = only(client, slimgen__kind="stage")
    assert run.info.status == "KILLED"
    again = begin(settings={"a": 2, "b": 3})  # a parameter that is there stays as it is
    with Log(again.path / log_file("x")) as log:
        log.truncate_after(3)
        for step in range(4, 9):
            log.log(step=step, loss=1 / step)
    sync(again.path)
    assert only(client, slimgen__kind="stage").info.status == "RUNNING"
    finish(again)
    sync(again.path)
    resumed = only(client, slimgen__kind="stage")
    assert resumed.info.run_id == run.info.run_id
    assert resumed.info.status == "FINISHED"
    assert resumed.data.params == {"a": "1", "b": "3"}
    history = client.get_metric_history(run.info.run_id, "x.loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(step, 1 / step) for step in range(1, 9)]
    finish(begin(mark="other"))
    sync(again.path)
    assert len(runs(client, slimgen__kind="stage")) == 2
    assert len(runs(client, slimgen__kind="recipe")) == 1


def test_the_run_that_a_pipeline_names_is_continued(client, begin, monkeypatch) -> None:
    given = client.create_run(client.create_experiment("pipeline"), run_name="given").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    path = finish(begin(), {"fid": 3.0})
    monkeypatch.delenv("MLFLOW_RUN_ID")  # the folder remembers it
    sync(path)
    run = client.get_run(given)
    assert run.data.metrics == {"fid": 3.0, "seconds": 1.5}
    assert run.data.tags["slimgen.stage"] == "search"
    assert client.get_experiment_by_name("slimgen") is None


def write_search(folder: Path) -> None:
    """What a search of three trials leaves, two of them on the front."""
    numbers = (16, 0, 100.0), (32, 1, 50.0), (24, 1, float("inf"))
    trials = [
        Trial(Genotype({"stem.width": width}), {"macs": 10.0 * width}, {"fid": fid}, number, "channel")
        for width, number, fid in numbers
    ]
    write_json(folder / GENOTYPE, {**trials[1].to_json(), "objective": {"metric": "fid", "goal": "min"}})
    write_lines(folder / TRIALS, [trial.to_json() for trial in trials])
    keys = "".join(f"{trial.genotype.key},channel,{trial.round}\n" for trial in trials[:2])
    (folder / PARETO).write_text(f"key,step,round\n{keys}")


def test_the_members_of_the_front_are_runs_with_their_choices_and_measured_values(client, begin) -> None:
    folder = begin()
    write_search(folder.path)
    finish(folder)
    for _ in range(2):  # the second time changes nothing
        sync(folder.path)
        run = only(client, slimgen__stage="search").info.run_id
        children = {run.data.params["stem.width"]: run for run in runs(client, mlflow__parentRunId=run)}
        assert set(children) == {"16", "32"}
        assert children["32"].data.metrics == {"fid": 50.0, "macs": 320.0}
        assert {width: run.info.run_name for width, run in children.items()} == {
            "16": "fid 100, 160 MACs",
            "32": "fid 50, 320 MACs (found)",
        }
        assert children["16"].data.tags["key"] == Genotype({"stem.width": 16}).key
        assert children["32"].info.status == "FINISHED"
        assert len(client.get_metric_history(children["32"].info.run_id, "fid")) == 1
        best = client.get_metric_history(run, "channel.best_fid")
        assert [(metric.step, metric.value) for metric in best] == [(0, 100.0), (1, 50.0)]


RECIPE = "{name: mine, about: small, method: cf_gan, size: 64, budget: {macs: 1/8}, teach: {updates: 9}}"


def test_a_recipes_own_run_shows_its_parameters_images_report_and_card(client, begin, tmp_path) -> None:
    first = begin("evaluate", recipe=RECIPE, settings={"size": 64, "data": {"embedded": "townhouses"}})
    for name in ("report.html", "grid.png"):
        (first.path / name).write_text("measured")
    sync(finish(first))
    parent = only(client, slimgen__kind="recipe")
    wanted = {"name": "mine", "method": "cf_gan", "size": "64", "budget.macs": "1/8", "teach.updates": "9"}
    assert parent.data.params == wanted
    assert parent.data.tags["mlflow.note.content"] == "small"
    (images,) = parent.inputs.dataset_inputs
    assert (images.dataset.name, images.dataset.digest) == ("townhouses-64px", "d1")
    assert files(client, parent.info.run_id) == ["grid.png", "report.html"]
    second = begin("export", recipe=RECIPE)
    (second.path / "report.html").write_text("complete")
    (second.path / "card.md").write_text(
        "---\nlicense: mit\n---\n\n# mine\n\n![pictures](grid.png)\n\nsmall and fast\n"
    )
    sync(finish(second))
    sync(second.path)
    again = only(client, slimgen__kind="recipe")
    assert again.data.tags["mlflow.note.content"] == "# mine\n\n\nsmall and fast"
    assert len(again.inputs.dataset_inputs) == 1
    report = Path(client.download_artifacts(again.info.run_id, "report.html", tmp_path))
    assert report.read_text() == "complete"


def test_a_recipes_run_has_the_figures_that_it_is_compared_by(client, begin, tmp_path) -> None:
    folder = begin("evaluate")
    write_json(folder.path / METRICS, {"found.psnr": 24.5, "found.macs": 7, "original.psnr": 25})
    sync(finish(folder))
    assert only(client, slimgen__kind="recipe").data.metrics == {
        "found.psnr": 24.5,
        "found.macs": 7.0,
        "original.psnr": 25.0,
    }
    run = only(client, slimgen__stage="evaluate").info.run_id
    table = json.loads(Path(client.download_artifacts(run, "comparison.json", tmp_path)).read_text())
    assert table == {"columns": ["name", "psnr", "macs"], "data": [["found", 24.5, 7], ["original", 25, None]]}


def test_pictures_files_and_tables_are_those_of_the_folder_and_none_is_a_pickle(client, begin, tmp_path) -> None:
    folder = begin()
    write_search(folder.path)
    for name in ("report.html", "card.md", "manifest.json", "generator.safetensors", "cache.jsonl"):
        (folder.path / name).write_text("{}")
    Image.new("RGB", (12, 8), (200, 200, 200)).save(folder.path / "pareto.png")
    sync(folder.path)
    Image.new("RGB", (12, 8), (0, 0, 0)).save(folder.path / "pareto.png")  # as when a stage is resumed
    sync(finish(folder))
    run = only(client, slimgen__stage="search")
    tables = ["trials.json"]
    names = [GENOTYPE, PARETO, TRIALS, "report.html", "card.md", "manifest.json", "pareto.png", *tables]
    assert files(client, run.info.run_id) == sorted(names)
    table = json.loads(Path(client.download_artifacts(run.info.run_id, "trials.json", tmp_path)).read_text())
    assert table["columns"] == ["key", "step", "round", "fid", "macs", "complete", "stem.width"]
    assert table["data"][1] == [Genotype({"stem.width": 32}).key, "channel", 1, 50.0, 320.0, True, 32]
    assert table["data"][2][3] is None
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": "trials.json", "type": "table"}]
    with Image.open(client.download_artifacts(run.info.run_id, "pareto.png", tmp_path)) as image:
        assert image.size == (12, 8)
        assert np.asarray(image).max() == 0
    stored = [path for path in (tmp_path / "mlartifacts").rglob("*") if path.is_file()]
    assert {path.suffix for path in stored} == {".png", ".json", ".jsonl", ".csv", ".html", ".md"}


def write_onnx(path: Path, slope: float) -> None:
    """y = slope * x, over pictures of any number."""
    import onnx

    shape = ["n", 3, 4, 4]
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Mul", ["image", "slope"], ["picture"])],
        "generator",
        [onnx.helper.make_tensor_value_info("image", float32, shape)],
        [onnx.helper.make_tensor_value_info("picture", float32, shape)],
        [onnx.helper.make_tensor("slope", float32, [], [slope])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path)


def test_a_registered_generator_has_its_signature_and_its_aliases(client, begin) -> None:
    import onnxruntime
    import yaml

    x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    settings = {"name": "n", "export": {"model": "e2s/cf_gan"}}
    measured = begin("evaluate", settings={"size": 4}, inputs={"prepare": "d1"})
    rows = [{"name": "found", "metrics": {"psnr": 20.5}, "macs": {"exact": 7}, "params": 1, "bytes": 4}]
    table = {"rows": rows, "goals": {"psnr": "max"}, "convention": "exact", "protocol": "psnr of 3 images"}
    write_json(measured.path / TABLE, table)
    finish(measured)
    inputs = {"evaluate": read_record(measured.path)["digest"]}
    folder = begin("export", settings=settings, inputs=inputs)
    write_onnx(folder.path / ONNX, 2.0)
    sync(folder.path)
    assert client.search_registered_models() == []  # until parity was shown
    assert client.search_logged_models([client.get_experiment_by_name("slimgen").experiment_id]) == []
    (folder.path / "card.md").write_text("# a card\n")
    first = finish(folder, {"parity_max_abs": 1e-6, "bytes": 9, "onnxruntime_p50_ms": 0.5})
    for _ in range(2):
        sync(first)
    registered = client.get_registered_model("e2s-cf_gan")
    assert registered.aliases == {"candidate": 1, "champion": 1}
    assert registered.description.startswith("Generators that slimgen found with the recipe townhouses;")
    (model,) = client.search_logged_models([client.get_experiment_by_name("slimgen").experiment_id])
    figures = {"psnr": 20.5, "macs": 7, "params": 1, "bytes": 4}
    files_figures = {"fp32.max_abs": 1e-6, "fp32.bytes": 9, "fp32.p50_ms": 0.5}
    assert {metric.key: metric.value for metric in model.metrics} == figures | files_figures
    assert client.get_model_version("e2s-cf_gan", "1").description == "# a card"
    write_json(measured.path / TABLE, {**table, "rows": [{**rows[0], "metrics": {"psnr": 99.0}}]})
    trial = begin("export", mark="g", settings=settings, inputs=inputs, tags={"recipe": "r", "quick": "true"})
    write_onnx(trial.path / ONNX, 3.0)
    finish(trial)
    sync(trial.out)
    aliases = client.get_registered_model("e2s-cf_gan").aliases
    assert aliases == {"candidate": 2, "champion": 1}  # a trial is no champion, whatever it measured
    champion = client.get_model_version_by_alias("e2s-cf_gan", "champion")
    assert champion.tags["recipe"] == "townhouses"
    run = client.get_run(champion.run_id)
    assert run.data.tags["slimgen.fingerprint"] == "f"
    place = Path(champion.source.removeprefix("file://"))
    assert (place / "MLmodel").exists()
    (y,) = onnxruntime.InferenceSession(place / "model.onnx").run(None, {"image": x})
    assert np.array_equal(y, 2 * x)
    (made,) = run.outputs.model_outputs
    logged = client.get_logged_model(made.model_id)
    assert logged.tags["mlflow.modelVersions"] == json.dumps([{"name": "e2s-cf_gan", "version": 1}])
    assert str(logged.status) == "READY"
    signature = yaml.safe_load((place / "MLmodel").read_text())["signature"]
    (inputs,), (outputs,) = json.loads(signature["inputs"]), json.loads(signature["outputs"])
    assert inputs["tensor-spec"] == {"dtype": "float32", "shape": [-1, 3, 4, 4]}
    assert (inputs["name"], outputs["name"]) == ("image", "picture")


def test_syncing_an_older_run_again_takes_no_alias_from_a_newer_one(client, begin, tmp_path) -> None:
    for name, slope in (("one", 2.0), ("two", 3.0)):
        folder = begin("export", mark=name, settings={"name": "net", "export": {"model": None}})
        write_onnx(folder.path / ONNX, slope)
        finish(folder)
        shutil.move(tmp_path / "runs/one", tmp_path / name)
        sync(tmp_path / name)
    before = counts(client)
    sync(tmp_path / "one")
    assert client.get_registered_model("townhouses").aliases == {"candidate": 2}  # nothing was measured of either
    assert counts(client) == before


def test_syncing_twice_adds_nothing(client, begin, tmp_path) -> None:
    for stage in ("supernet", "search", "evaluate", "export"):
        folder = begin(stage)
        with Log(folder.path / log_file("x")) as log, Log(folder.path / TRACE) as trace:
            for step in range(1, 4):
                log.log(step=step, loss=step)
                trace.log(step=step, entropy=1 / step, genotype="k", probabilities={"a": {"b": 1.0}})
        if stage == "search":
            write_search(folder.path)
        write_json(folder.path / METRICS, {"found.psnr": 24.5})
        if stage == "export":
            write_onnx(folder.path / ONNX, 2.0)
        finish(folder, {"quality": 3.0})
    sync(tmp_path / "runs/one")
    before = counts(client)
    assert before["versions"] == 1
    assert only(client, slimgen__stage="supernet").data.metrics["relaxation.entropy"] == 1 / 3
    sync(tmp_path / "runs/one")
    sync(tmp_path / "runs/one/search")
    assert counts(client) == before


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_how_a_stage_ended_is_the_status_of_its_run(client, begin, lines, error, status) -> None:
    folder = begin()
    try:
        with tracked(folder.path, lines.append), folder:
            if error is not None:
                raise error
            finish(folder)
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert {run.info.status for run in runs(client)} == {status}
    assert lines == []


def test_a_stage_whose_process_is_gone_was_killed(client, begin) -> None:
    folder = begin()
    sync(folder.path)
    assert only(client, slimgen__kind="stage").info.status == "RUNNING"
    folder.release()  # as the kernel does for a process that is killed
    sync(folder.path)
    assert {run.info.status for run in runs(client)} == {"KILLED"}


def test_a_stage_that_was_killed_before_its_last_sync_is_synced_when_it_is_found_finished(client, begin, lines) -> None:
    folder = begin()
    sync(folder.path)
    tracking._owed(folder.path).touch()  # as `tracked` does, and the kill comes
    finish(folder)
    assert only(client, slimgen__kind="stage").info.status == "RUNNING"
    catch_up(folder.path, warn=lines.append)
    assert {run.info.status for run in runs(client)} == {"FINISHED"}
    assert (list(folder.path.parent.glob(".*")), lines) == ([], [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        catch_up(folder.path, warn=lines.append)  # nothing is owed, and nobody is asked
    assert lines == []


def test_a_stage_under_way_is_shown_as_it_goes(client, begin, lines, monkeypatch) -> None:
    monkeypatch.setattr(tracking, "EVERY", 0.05)
    folder = begin()
    with tracked(folder.path, lines.append), folder, Log(folder.path / log_file("x")) as log:
        log.log(step=1, loss=1.0)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            found = client.get_experiment_by_name("slimgen") and runs(client, slimgen__kind="stage")
            if found and "x.loss" in found[0].data.metrics:
                break
            time.sleep(0.05)
        assert found[0].info.status == "RUNNING"
        assert found[0].data.metrics == {"x.loss": 1.0}
        log.log(step=2, loss=2.0)
        finish(folder)
        assert tracking._owed(folder.path).exists()  # until the last sync, for whoever finds it killed
    assert not tracking._owed(folder.path).exists()
    history = client.get_metric_history(found[0].info.run_id, "x.loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 2.0)]
    assert lines == []


def test_the_use_of_processor_and_memory_is_logged_where_mlflows_switch_is_on(
    client, begin, lines, monkeypatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    folder = begin()
    with tracked(folder.path, lines.append), folder:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            found = client.get_experiment_by_name("slimgen") and runs(client, slimgen__kind="stage")
            if found and "system/cpu_utilization_percentage" in found[0].data.metrics:
                break
            time.sleep(0.05)
        finish(folder)
    run = only(client, slimgen__kind="stage")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["system/system_memory_usage_megabytes"] > 0
    assert lines == []


def test_a_damaged_file_is_a_warning_and_no_error(client, begin, lines) -> None:
    folder = begin()
    with tracked(folder.path, lines.append), folder:
        (folder.path / PARETO).write_bytes(b"none")
    assert len(lines) == 1
    assert "MLflow at sqlite:///" in lines[0]
    assert "is not synced from here on" in lines[0]
    assert "slimgen ui --sync" in lines[0]


@pytest.mark.parametrize("address", ["http://u:p@ss@127.0.0.1:9", "postgresql://u:pa/ss@nohost/db"])
def test_no_part_of_a_password_is_in_any_line(begin, lines, monkeypatch, address) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    use(begin(), lines)
    assert len(lines) == 1
    told = lines[0].removeprefix(f"MLflow at {shown(address)} is not synced from here on (").partition(");")[0]
    assert "@" not in lines[0]
    assert told.partition(":")[0] in ("it does not answer", "ModuleNotFoundError", "MlflowException", "ValueError")
    assert "ss" not in told


def use(folder: StageFolder, lines: list[str]) -> None:
    with tracked(folder.path, lines.append), folder:
        finish(folder)


@pytest.mark.parametrize("kind", ["closed", "silent", "nowhere"])
def test_an_unreachable_server_costs_a_warning_and_a_moment(begin, lines, monkeypatch, kind) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if kind == "silent":
            server.listen()  # the kernel accepts, nobody answers
        host = "nowhere.invalid" if kind == "nowhere" else "127.0.0.1"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@{host}:{server.getsockname()[1]}")
        start = time.monotonic()
        folder = begin()
        use(folder, lines)
        assert time.monotonic() - start < 5
        assert len(lines) == 1
        assert f"MLflow at http://{host}:" in lines[0]
        assert "secret" not in lines[0]
        with pytest.raises(RunError, match="does not answer") as refused:
            sync(folder.path)
        assert "secret" not in str(refused.value)


def test_the_stages_of_one_run_warn_once_of_the_same_store(begin, lines, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with warning_once():
        for stage in ("prepare", "teach"):
            use(begin(stage), lines)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:10")
        use(begin("supernet"), lines)
    assert [line.split()[2] for line in lines] == ["http://127.0.0.1:9", "http://127.0.0.1:10"]
    use(begin("search"), lines)
    assert len(lines) == 3


@pytest.fixture
def dying_server() -> Iterator[tuple[str, threading.Event]]:
    """Answers /health until the event is set, and nothing else, ever."""
    dead, over = threading.Event(), threading.Event()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.endswith("/health") or dead.is_set():
                over.wait(30)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            pass  # a client that has gone

    server = Server(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/mlflow", dead
    over.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["slow", "dying"])
def test_a_server_that_stops_answering_is_given_up(begin, lines, monkeypatch, dying_server, kind) -> None:
    address, dead = dying_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    if kind == "slow":
        monkeypatch.setattr(tracking, "CLOSING", 1.0)
    else:
        threading.Timer(0.5, dead.set).start()
    start = time.monotonic()
    use(begin(), lines)
    assert time.monotonic() - start < 7
    assert len(lines) == 1
    assert ("no answer in 1 s" if kind == "slow" else "it does not answer") in lines[0]


@pytest.mark.parametrize("other", [{"recipe": "facades"}, {"seed": "1"}, {"metric": "fid"}])
def test_another_recipe_seed_or_metric_in_the_same_folder_is_another_run_and_a_resume_the_same(
    client, tmp_path, other
) -> None:
    tags = {"recipe": "townhouses", "seed": "0", "metric": "psnr"}

    def run(mark: str, **more: str) -> None:
        about = {"group": "g", "tags": {**tags, **more}, "settings": {}}
        path = tmp_path / "runs/one/search"
        finish(StageFolder(path, "search", mark).begin(about))
        sync(path.parent)

    run("f")
    run("f")
    run("g", data="d2")  # a changed value
    assert len(runs(client, slimgen__kind="recipe")) == 1
    assert len(runs(client, slimgen__kind="stage")) == 2
    run("h", **other)
    parents = {run.info.run_id: run for run in runs(client, slimgen__kind="recipe")}
    assert len(parents) == 2
    last = only(client, slimgen__fingerprint="h")
    parent = parents[last.data.tags["mlflow.parentRunId"]]
    assert {**tags, **other}.items() <= parent.data.tags.items()
    # What is parked is not shown as what the folder holds now, and syncing again changes nothing.
    before = counts(client)
    sync(tmp_path / "runs/one")
    assert counts(client) == before


OPEN = """
import sys
from pathlib import Path
from slimgen.run.folder import StageFolder
from slimgen.run.tracking import tracked
folder = StageFolder(Path("run", sys.argv[1]), sys.argv[1], "f")
folder.begin({"tags": {"recipe": "r"}, "group": "g"})
with tracked(folder.path), folder:
    folder.finish({"seconds": 1.0, "metrics": {"fid": 1.0}})
"""


def test_without_mlflow_a_stage_runs_with_one_warning(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    command = [sys.executable, "-c", f"import sys\nsys.modules['mlflow'] = None\n{OPEN}", "teach"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    assert "mlflow" in result.stdout
    assert result.stderr == ""
    assert json.loads((tmp_path / "run/teach" / STAGE).read_text())["finished"] is True


def test_two_stages_that_begin_at_once_share_one_new_store_and_one_parent_without_a_word(tmp_path, monkeypatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-c", OPEN]
    pipe = subprocess.PIPE
    stages = ("finetune", "evaluate")
    processes = [subprocess.Popen([*command, stage], cwd=tmp_path, stdout=pipe, stderr=pipe) for stage in stages]
    said = [process.communicate(timeout=60) for process in processes]
    assert said == [(b"", b""), (b"", b"")]
    client = load_mlflow().MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    parent = only(client, slimgen__kind="recipe")
    found = runs(client, slimgen__kind="stage")
    assert sorted(run.info.run_name for run in found) == ["evaluate", "finetune"]
    assert {run.data.tags["mlflow.parentRunId"] for run in found} == {parent.info.run_id}


def test_reading_a_tracker_module_imports_no_mlflow() -> None:
    code = "import sys, slimgen.run.tracking\nassert not {'mlflow', 'pandas', 'torch', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
