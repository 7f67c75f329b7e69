import http.server
import io
import socket
import sys
import threading

import pytest
import yaml

from components import image
from pipelines.__main__ import main
from pipelines.condensed import Condensed
from pipelines.local import run
from pipelines.resources import PLAIN
from pipelines.submit import ClusterError, submit
from slimgen.errors import DataError, RecipeError
from slimgen.recipe import Recipe

TINY = "{task: paired, method: cf_gan, teach: {updates: 1}, finetune: {updates: 1}}"


@pytest.fixture
def recipe():
    return Recipe.parse(TINY, "tiny")


@pytest.fixture
def closed():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


class Nothing(http.server.BaseHTTPRequestHandler):
    """A web server that is not Kubeflow's."""

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        """Silent."""


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["pipelines", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_compile_writes_a_pipeline_and_names_its_image(tmp_path, monkeypatch, capsys):
    file = tmp_path / "new" / "compress.yaml"
    assert command(monkeypatch, "compile", "--out", file) == 0
    spec, _ = yaml.safe_load_all(file.read_text())
    assert spec["pipelineInfo"]["name"] == "compress"
    assert spec["deploymentSpec"]["executors"]["exec-teach"]["container"]["image"] in capsys.readouterr().out


def test_an_unreachable_server_is_one_clear_line(tmp_path, monkeypatch, capsys, closed):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    assert command(monkeypatch, "submit", file, "--data", "s3://bucket/images", "--host", closed) == 2
    # In a checkout with changes of its own, a note comes first.
    (error,) = (line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: "))
    assert closed in error


def test_a_recipe_that_does_not_exist_is_one_clear_line(tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "run", "no-such-recipe", "--data", tmp_path, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith("pipelines: ")


def test_another_web_server_is_no_kubeflow(recipe):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ClusterError, match="404"):
            submit([recipe], "s3://bucket/images", f"http://127.0.0.1:{server.server_port}", PLAIN)
        server.shutdown()


@pytest.mark.parametrize("host", ["nonsense", "ftp://host", "http://"])
def test_a_host_must_be_a_web_address(recipe, host):
    with pytest.raises(ClusterError, match="http"):
        submit([recipe], "s3://bucket/images", host, PLAIN)


def test_a_cluster_does_not_read_local_folders(recipe, closed):
    with pytest.raises(DataError, match="URI"):
        submit([recipe], "data", closed, PLAIN)


def test_recipes_of_one_name_cannot_share_a_sweep(recipe, closed, tmp_path):
    with pytest.raises(RecipeError, match="tiny"):
        submit([recipe, recipe], "s3://bucket/images", closed, PLAIN)
    with pytest.raises(RecipeError, match="tiny"):
        run([recipe, recipe], tmp_path, tmp_path / "out")


def test_a_local_run_needs_its_images(recipe, tmp_path):
    with pytest.raises(DataError, match="there is no such folder; check --data"):
        run([recipe], tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize("data", ["s3://key:hunter2@bucket/images", "https://host/images?token=hunter2"])
def test_a_run_on_a_cluster_gets_no_password(recipe, closed, data):
    with pytest.raises(DataError, match="no passwords or tokens") as refused:
        submit([recipe], data, closed, PLAIN)
    assert "hunter2" not in str(refused.value)


def test_no_message_about_a_server_has_its_password(recipe, closed):
    with pytest.raises(ClusterError) as refused:
        submit([recipe], "s3://bucket/images", closed.replace("//", "//me:hun/ter2@"), PLAIN)
    assert "hun" not in str(refused.value)
    assert "ter2" not in str(refused.value)


def test_a_copy_without_git_gets_a_note_about_its_image(monkeypatch):
    monkeypatch.delenv("SLIMGEN_IMAGE", raising=False)
    monkeypatch.setattr(image, "revision", lambda folder: "")
    assert image.unversioned().startswith("note: without git, the image's name is always slimgen:")
    monkeypatch.setattr(image, "revision", lambda folder: "0123")
    assert image.unversioned() == ""
    monkeypatch.setattr(image, "revision", lambda folder: "0123-dirty")
    assert image.unversioned().startswith("note: there are uncommitted changes")
    assert "0123-dirty" in image.unversioned()
    monkeypatch.setattr(image, "revision", lambda folder: "")
    monkeypatch.setenv("SLIMGEN_IMAGE", "mine:1")
    assert image.unversioned() == ""


def test_the_executors_own_lines_go_into_the_log_alone():
    text = (
        "12:00:01.123 - INFO - Executing task 'teach'\n"
        "    [KFP Executor 2026-01-01 12:00:01,200 INFO]: Got executor_input:\n"
        "    {\n"
        '        "inputs": {"parameterValues": {"recipe": "name: tiny"}},\n'
        "    }\n"
        "    teach teacher 6/6  recon 20.5\n"
        "12:00:02.000 - INFO - Task 'teach' outputs:\n"
        "    out: Model( name='out',\n"
        "                uri='/tmp/x',\n"
        "                metadata={} )\n"
        "\n"
        "12:00:02.001 - INFO - Task 'teach' finished with status SUCCESS\n"
    )
    shown, log = io.StringIO(), io.StringIO()
    stream = Condensed(shown, log)
    for start in range(0, len(text), 7):  # in pieces that end anywhere
        stream.write(text[start : start + 7])
    assert log.getvalue() == text
    assert [line.strip() for line in shown.getvalue().splitlines()] == [
        "12:00:01.123 - INFO - Executing task 'teach'",
        "teach teacher 6/6  recon 20.5",
        "12:00:02.001 - INFO - Task 'teach' finished with status SUCCESS",
    ]
