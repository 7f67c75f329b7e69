import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from townhouses import write

pytest.importorskip("dvc", reason="DVC is an extra: pip install 'slimgen[dvc]'")

ROOT = Path(__file__).resolve().parents[2]
COPIED = (".dvcignore", ".gitignore", "data.dvc", "dvc.yaml")
UNTRACKED = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
"""What is compared is none of the tracker's business, which takes half the time of stages as short as these."""
COMMAND = "from slimgen.cli import main; main()"
RECIPE = """
task: paired
method: cf_gan
size: 32
seed: 3
data: {direction: BtoA, validation: 8}
budget: {macs: 1/4}
objective: {metric: psnr}
compute: {device: cpu, precision: fp32, threads: 1}
losses: {gan: hinge, recon: 100}
teach:
  generator: {family: resnet, ngf: 8, blocks: 2}
  discriminator: {family: patchgan, ndf: 8, layers: 2}
  updates: 6
  batch: 2
supernet: {ngf: 6, ndf: 8, updates: 6, batch: 2}
search: {population: 4, elite: 2, evaluations: 14, operator_share: 0.43}
finetune: {updates: 6, batch: 2}
evaluate: {metrics: [psnr], latency_runs: 2, pictures: 2}
export: {opset: 20}
"""
UNPAIRED = """
task: unpaired
method: co_evolution
size: 16
seed: 5
data: {direction: AtoB, validation: 3, load: 18}
budget: {params: 1/3}
objective: {metric: psnr}
compute: {device: cpu, precision: fp32, threads: 1}
losses: {gan: least-squares}
teach:
  generator: {family: resnet, ngf: 4, blocks: 2}
  discriminator: {family: patchgan, ndf: 4, layers: 1}
  updates: 6
  batch: 2
supernet: {}
search: {population: 4, evaluations: 16, tuning: {updates: 1, batch: 1}}
finetune: {updates: 4, batch: 2}
evaluate: {metrics: [psnr], latency_runs: 1, pictures: 2}
export: {opset: 20}
"""


@pytest.fixture
def clone(tmp_path):
    """A fresh clone with one small recipe, and an image of the user's own in it before anything was pulled."""
    folder = tmp_path / "clone"
    ignore = shutil.ignore_patterns("cache", "tmp", "config.local")
    for name in (".dvc", "core", "components", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in COPIED:
        shutil.copy(ROOT / name, folder)
    write_params(folder, RECIPE)
    (folder / "data" / "train").mkdir(parents=True)
    Image.new("RGB", (128, 64), "orange").save(folder / "data" / "train" / "own.png")
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    return folder


def write_params(folder, recipe):
    (folder / "params.yaml").write_text("recipes:\n  tiny:" + recipe.replace("\n", "\n    ").rstrip() + "\n")


def start(folder, *words, **settings):
    environment = dict(os.environ)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "KFP_RUN_ID"):
        environment.pop(name, None)
    environment |= {
        "HOME": str(folder),
        "DVC_SITE_CACHE_DIR": str(folder / ".site"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "core"),
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(folder, *words, **settings):
    process = start(folder, *words, **settings)
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    return output


def kill_when(process, there):
    """Kills a process and all its children as soon as a file is there."""
    deadline = time.monotonic() + 300
    while not there.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def found(run):
    return json.loads((run / "search" / "genotype.json").read_text())


@pytest.mark.slow
def test_dvc_kubeflow_and_the_command_find_the_same_genotype(clone):
    repro = ("-m", "dvc", "repro", "--pull")
    kill_when(start(clone, *repro, **UNTRACKED), clone / "runs" / "tiny" / "supernet" / "stage.json")
    resumed = finish(clone, *repro, **UNTRACKED)
    assert "Stage 'teach@tiny' didn't change, skipping" in resumed
    assert (clone / "runs" / "tiny" / "export" / "generator.onnx").is_file()
    assert "own.png" in json.loads((clone / "runs/tiny/prepare/manifest.json").read_text())["splits"]["train"]["names"]
    assert "Data and pipelines are up to date" in finish(clone, *repro)

    where = ("params.yaml#recipes.tiny", "--data", "data", "--out")
    finish(clone, "-m", "pipelines", "run", *where, "runs/kubeflow", **UNTRACKED)
    finish(clone, "-c", COMMAND, "run", *where, "runs/apart/command", "--until", "search", **UNTRACKED)
    runs = ("tiny", "kubeflow/tiny", "apart/command")
    by_dvc, by_kubeflow, by_command = (found(clone / "runs" / run) for run in runs)
    assert by_dvc == by_kubeflow == by_command


@pytest.mark.slow
def test_dvc_and_the_command_find_the_same_two_generators_of_two_sets_of_images(clone):
    write_params(clone, UNPAIRED)
    (clone / "data.dvc").unlink()  # images of the user's own, by day and by night, in place of the embedded ones
    shutil.rmtree(clone / "data")
    write(clone / "data", seed=0, train=9, night=7, test=3, size=32, layout="unpaired")
    where = ("params.yaml#recipes.tiny", "--data", "data", "--out")
    finish(clone, "-m", "dvc", "repro", "finetune@tiny", **UNTRACKED)
    finish(clone, "-c", COMMAND, "run", *where, "runs/apart/command", "--until", "finetune", **UNTRACKED)
    by_dvc, by_command = clone / "runs" / "tiny", clone / "runs" / "apart" / "command"
    assert any("0" in mask for mask in found(by_dvc)["genotype"].values())
    assert found(by_command) == found(by_dvc)
    for name in ("teach/generator", "teach/reverse_generator", "finetune/found", "finetune/found_reverse"):
        weights = f"{name}.safetensors"
        assert (by_command / weights).read_bytes() == (by_dvc / weights).read_bytes()
    for stage in ("teach", "search", "finetune"):
        assert "copied_from" not in json.loads((by_command / stage / "stage.json").read_text())
