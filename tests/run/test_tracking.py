import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from slimgen.run import tracking
from slimgen.run.tracking import Tracker, create_store

PNG = b"\x89PNG"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; making one takes MLflow a second, copying it nothing."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    tracking._mlflow().MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A client of the store in the working folder, which is the test's own."""
    for name in os.environ:
        if name.startswith(("MLFLOW_RUN", "MLFLOW_TRACKING", "MLFLOW_EXPERIMENT", "KFP_", "DVC_", "ARGO_")):
            monkeypatch.delenv(name)
    shutil.copy(template, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tracking._mlflow().MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def begin(lines: list[str]) -> Callable[..., Tracker]:
    def begin(stage: str = "search", fingerprint: str = "f", **more: object) -> Tracker:
        tags = {"method": "cf_gan", "task": "paired", "data": "d1", "fingerprint": fingerprint}
        words = {"recipe": "townhouses", "group": "runs/it's", "params": {}, **more}
        return Tracker.open(stage=stage, tags=tags, warn=lines.append, **words)

    return begin


def runs(client, **tags: str) -> list:
    found = client.search_runs([client.get_experiment_by_name("slimgen").experiment_id])
    return [run for run in found if all(run.data.tags.get(tag.replace("__", ".")) == tags[tag] for tag in tags)]


def files(client, run_id: str, folder: str | None = None) -> list[str]:
    return sorted(file.path for file in client.list_artifacts(run_id, folder))


def test_a_stage_is_a_run_below_the_run_of_its_recipe(client, begin, lines, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KFP_RUN_ID", "k1")
    monkeypatch.setenv("DVC_EXP_NAME", "brave-owl")
    for stage in ("teach", "search"):
        with begin(stage, params={"budget": {"macs": 1e9}, "options": [48, 32], "none": None}) as tracker:
            tracker.metrics({"loss": 0.5, "nested": {"fid": np.float32(2)}, "nan": float("nan"), "word": "x"}, step=3)
    (parent,) = runs(client, slimgen__kind="recipe")
    assert parent.info.run_name == "townhouses"
    assert parent.info.status == "FINISHED"
    stages = runs(client, slimgen__kind="stage")
    assert sorted(run.info.run_name for run in stages) == ["search", "teach"]
    for run in stages:
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params == {"budget.macs": "1000000000.0", "options": "[48, 32]", "none": "None"}
        assert run.data.metrics == {"loss": 0.5, "nested.fid": 2.0}
        assert client.get_metric_history(run.info.run_id, "loss")[0].step == 3
        wanted = {"recipe": "townhouses", "method": "cf_gan", "task": "paired", "data": "d1"}
        wanted |= {"kfp.run": "k1", "dvc.experiment": "brave-owl"}
        assert wanted.items() <= run.data.tags.items()
    experiment = client.get_experiment_by_name("slimgen")
    assert experiment.artifact_location == (tmp_path / "mlartifacts").as_uri()
    assert lines == []


def test_a_resumed_stage_continues_its_run_and_doubles_no_metric(client, begin) -> None:
    first = begin(params={"a": 1})
    for step in range(1, 7):
        first.metrics({"loss": 1 / step}, step)
    first.close("KILLED")
    (run,) = runs(client, slimgen__kind="stage")
    assert run.info.status == "KILLED"
    second = begin(params={"a": 2, "b": 3})  # a parameter that is there stays as it is
    assert second.run_id == first.run_id
    for step in range(4, 9):
        second.metrics({"loss": 1 / step}, step)
    second.close()
    (run,) = runs(client, slimgen__kind="stage")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"a": "1", "b": "3"}
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(step, 1 / step) for step in range(1, 9)]
    third = begin(fingerprint="other")
    third.close()
    assert third.run_id != first.run_id
    assert len(runs(client, slimgen__kind="recipe")) == 1


def test_the_run_that_a_pipeline_names_is_continued(client, begin, monkeypatch) -> None:
    given = client.create_run(client.create_experiment("pipeline"), run_name="given").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    with begin() as tracker:
        assert tracker.run_id == given
        tracker.metrics({"fid": 3.0})
    run = client.get_run(given)
    assert run.data.metrics == {"fid": 3.0}
    assert run.data.tags["slimgen.stage"] == "search"
    assert client.get_experiment_by_name("slimgen") is None


def test_the_members_of_the_front_are_runs_with_their_choices_and_what_was_measured(client, begin) -> None:
    with begin() as tracker:
        for _ in range(2):  # the second time changes nothing
            for width in (16, 32):
                tracker.child(f"w{width}", {"stem.width": width}, {"fid": 100 / width, "macs": 10 * width}, {"k": "v"})
        tracker.child("w16", {"stem.width": 24}, {"fid": 5.0, "macs": 240})
    children = {run.info.run_name: run for run in runs(client, mlflow__parentRunId=tracker.run_id)}
    assert len(runs(client, mlflow__parentRunId=tracker.run_id)) == 2
    assert children["w32"].data.params == {"stem.width": "32"}
    assert children["w32"].data.metrics == {"fid": 3.125, "macs": 320.0}
    assert children["w32"].data.tags["k"] == "v"
    assert children["w32"].info.status == "FINISHED"
    assert len(client.get_metric_history(children["w32"].info.run_id, "fid")) == 1
    assert children["w16"].data.params == {"stem.width": "24"}


def test_a_recipes_own_run_bears_the_figures_that_it_is_compared_by(client, begin) -> None:
    with begin("evaluate") as tracker:
        tracker.headline({"found.psnr": 24.5, "found.macs": 7})
    (parent,) = runs(client, slimgen__kind="recipe")
    assert parent.data.metrics == {"found.psnr": 24.5, "found.macs": 7.0}


def test_pictures_texts_and_tables_are_files_and_none_is_a_pickle(client, begin, lines, tmp_path) -> None:
    from matplotlib.figure import Figure

    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").write_text("<html>")
    picture = np.full((8, 12, 3), 200, np.uint8)
    rows = [{"key": "a", "fid": 3.0, "genotype": {"w": 16}}, {"key": "b", "error": "x"}]
    for _ in range(2):  # as when a stage is resumed
        with begin() as tracker:
            tracker.image("grid", picture)
            tracker.image("series", picture, step=5)
            tracker.image("series", picture, step=6)
            picture[:] = 0  # what was logged is what it was then
            tracker.figure("front", Figure())
            tracker.text("genotype.json", "{}")
            tracker.artifact(tmp_path / "report")
            tracker.artifact(tmp_path / "report/index.html", "pages")
            tracker.table("trials", rows[:1])
            tracker.table("trials", rows)
            picture[:] = 200
    run_id = tracker.run_id
    names = ["front.png", "genotype.json", "grid.png", "images", "pages", "report", "trials.json"]
    assert files(client, run_id) == names
    assert files(client, run_id, "report") == ["report/index.html"]
    assert files(client, run_id, "pages") == ["pages/index.html"]
    assert len([name for name in files(client, run_id, "images") if name.endswith(".png")]) == 2
    table = json.loads(Path(client.download_artifacts(run_id, "trials.json", tmp_path)).read_text())
    assert table["columns"] == ["key", "fid", "genotype", "error"]
    assert table["data"] == [["a", 3.0, '{"w": 16}', None], ["b", None, None, "x"]]
    assert json.loads(client.get_run(run_id).data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "trials.json", "type": "table"}
    ]
    from PIL import Image

    with Image.open(client.download_artifacts(run_id, "grid.png", tmp_path)) as image:
        assert image.size == (12, 8)
        assert np.asarray(image).min() == 200
    stored = [path for path in (tmp_path / "mlartifacts").rglob("*") if path.is_file()]
    assert {path.suffix for path in stored} == {".png", ".webp", ".json", ".html"}
    assert lines == []


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


def test_a_registered_generator_has_its_signature_and_its_aliases(client, begin, lines, tmp_path) -> None:
    import onnxruntime

    x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    with begin("export") as tracker:
        write_onnx(tmp_path / "generator.onnx", 2.0)
        assert tracker.register(tmp_path / "generator.onnx", x, 2 * x, "e2s/cf_gan", tags={"fid": "3.1"}) == "1"
        assert tracker.register(tmp_path / "generator.onnx", x, 2 * x, "e2s/cf_gan") == "1"
        tracker.promote("e2s/cf_gan", "1")
        write_onnx(tmp_path / "generator.onnx", 3.0)
        assert tracker.register(tmp_path / "generator.onnx", x, 3 * x, "e2s/cf_gan") == "2"
    assert client.get_model_version_by_alias("e2s-cf_gan", "candidate").version == 2
    champion = client.get_model_version_by_alias("e2s-cf_gan", "champion")
    assert champion.version == 1
    assert champion.run_id == tracker.run_id
    assert champion.tags["fid"] == "3.1"
    folder = Path(champion.source.removeprefix("file://"))
    assert (folder / "MLmodel").exists()
    (y,) = onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"image": x})
    assert np.array_equal(y, 2 * x)
    logged = [client.get_logged_model(made.model_id) for made in client.get_run(tracker.run_id).outputs.model_outputs]
    assert sorted(model.tags["mlflow.modelVersions"] for model in logged) == [
        json.dumps([{"name": "e2s-cf_gan", "version": version}]) for version in (1, 2)
    ]
    assert {str(model.status) for model in logged} == {"READY"}
    import yaml

    signature = yaml.safe_load((folder / "MLmodel").read_text())["signature"]
    (inputs,), (outputs,) = json.loads(signature["inputs"]), json.loads(signature["outputs"])
    assert inputs["tensor-spec"] == {"dtype": "float32", "shape": [-1, 3, 4, 4]}
    assert outputs["name"] == "picture"
    assert lines == []


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_how_a_stage_ended_is_the_status_of_its_run(client, begin, error, status) -> None:
    try:
        with begin():
            if error is not None:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert {run.info.status for run in runs(client)} == {status}


def test_a_value_that_cannot_be_logged_is_a_warning_and_no_error(client, begin, lines) -> None:
    tracker = begin()
    tracker.metrics({"fid": object()})
    tracker.metrics({"fid": 1.0})
    assert not tracker.on
    assert tracker.register("none.onnx", np.zeros(1), np.zeros(1), "m") is None
    tracker.close()
    assert len(lines) == 1
    assert "no JSON form: object" in lines[0]


def test_a_file_that_is_not_there_is_a_warning_and_no_error(client, begin, lines, tmp_path) -> None:
    with begin() as tracker:
        assert tracker.register(tmp_path / "none.onnx", np.zeros(1), np.zeros(1), "m") is None
    assert len(lines) == 1
    assert "none.onnx" in lines[0]


def test_a_store_that_cannot_be_made_is_a_warning_and_no_error(begin, lines, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with begin() as tracker:
        tracker.metrics({"fid": 1.0})
    assert create_store(lines.append) is None
    assert [line.startswith("MLflow at sqlite:///") for line in lines] == [True, True]


def use(tracker: Tracker) -> None:
    tracker.metrics({"fid": 1.0}, 1)
    tracker.child("a", {}, {})
    assert tracker.register("g.onnx", np.zeros(1), np.zeros(1), "m") is None
    tracker.promote("m", "1")
    tracker.close()


@pytest.mark.parametrize("kind", ["closed", "silent", "nowhere"])
def test_an_unreachable_server_costs_a_warning_and_a_moment(begin, lines, monkeypatch, kind) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if kind == "silent":
            server.listen()  # the kernel accepts, nobody answers
        host = "nowhere.invalid" if kind == "nowhere" else "127.0.0.1"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@{host}:{server.getsockname()[1]}")
        start = time.monotonic()
        tracker = begin()
        use(tracker)
        assert time.monotonic() - start < 5
    assert tracker.run_id is None
    assert len(lines) == 1
    assert f"MLflow at http://{host}:" in lines[0]
    assert "secret" not in lines[0]


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
        monkeypatch.setattr(tracking, "OPENING", 1.0)
    else:
        threading.Timer(0.5, dead.set).start()
    start = time.monotonic()
    use(begin())
    assert time.monotonic() - start < 7
    assert len(lines) == 1
    assert ("no answer in 1 s" if kind == "slow" else "it does not answer") in lines[0]


def test_tracking_that_is_switched_off_does_not_even_import_mlflow() -> None:
    code = """
import sys
from slimgen.run.tracking import Tracker
with Tracker.open(stage="s", recipe="r", group="g", tags={}, params={}, enabled=False) as tracker:
    tracker.metrics({"fid": 1.0}, 1)
    tracker.child("a", {}, {})
assert tracker.run_id is None and not tracker.on
assert not {"mlflow", "pandas", "torch", "onnx"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_mlflow_a_stage_runs_with_one_warning(tmp_path) -> None:
    code = """
import sys
sys.modules["mlflow"] = None
from slimgen.run.tracking import Tracker
with Tracker.open(stage="s", recipe="r", group="g", tags={}, params={}) as tracker:
    tracker.metrics({"fid": 1.0}, 1)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    assert "mlflow" in result.stdout
    assert result.stderr == ""


OPEN = """
import sys
from slimgen.run.tracking import Tracker
with Tracker.open(stage=sys.argv[1], recipe="r", group="g", tags={"fingerprint": "f"}, params={}) as tracker:
    tracker.metrics({"fid": 1.0}, 1)
"""


def test_two_stages_that_begin_at_once_share_one_new_store_and_one_parent_without_a_word(tmp_path, monkeypatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-c", OPEN]
    pipe = subprocess.PIPE
    stages = ("finetune", "evaluate")
    processes = [subprocess.Popen([*command, stage], cwd=tmp_path, stdout=pipe, stderr=pipe) for stage in stages]
    said = [process.communicate(timeout=60) for process in processes]
    assert said == [(b"", b""), (b"", b"")]
    client = tracking._mlflow().MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (parent,) = runs(client, slimgen__kind="recipe")
    found = runs(client, slimgen__kind="stage")
    assert sorted(run.info.run_name for run in found) == ["evaluate", "finetune"]
    assert {run.data.tags["mlflow.parentRunId"] for run in found} == {parent.info.run_id}


def test_a_store_is_created_once_where_the_process_works(client, lines, tmp_path) -> None:
    assert create_store(lines.append) == f"sqlite:///{tmp_path / 'mlflow.db'}"
    client.delete_experiment(client.get_experiment_by_name("slimgen").experiment_id)
    assert create_store(lines.append) is not None  # and brought back
    assert client.get_experiment_by_name("slimgen").lifecycle_stage == "active"
    assert lines == []
