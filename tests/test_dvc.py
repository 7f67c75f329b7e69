import json
import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pipelines.dvc import dvc_yaml
from slimgen.files import ONNX
from slimgen.recipe import load
from slimgen.stages.table import STAGES
from townhouses import scene

ROOT = Path(__file__).resolve().parents[1]
pytest.importorskip("dvc", reason="DVC is an extra: pip install 'slimgen[dvc]'")

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
RECIPES = yaml.safe_load((ROOT / "params.yaml").read_text())["recipes"]
EVERY = list(product(RECIPES, STAGES))


def dvc(folder, *words, path=os.environ["PATH"]):
    """DVC as a user of a fresh clone runs it: no answers to questions, no home of its own."""
    environment = {**os.environ, "HOME": str(folder), "DVC_SITE_CACHE_DIR": str(folder / ".site"), "PATH": path}
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def clone(tmp_path):
    """What git holds of the data, its store and the pipeline, and nothing else."""
    folder = tmp_path / "clone"
    ignore = shutil.ignore_patterns("cache", "tmp", "config.local")
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=ignore)
    for name in (".dvcignore", ".gitignore", "data.dvc", "dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    return folder


def own(folder, name):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (128, 64), "orange").save(file)
    return file, file.read_bytes()


def watched(recipe, stage, kind):
    return [name.replace("${key}", recipe) for name in PIPELINE["stages"][stage]["do"][kind]]


def test_own_images_stay_beside_the_embedded_ones_whenever_they_are_put_there(clone):
    images = [own(clone, "data/train/own.png"), own(clone, "data/test/own.png")]
    first = dvc(clone, "repro", "--pull", "data.dvc")
    assert first.returncode == 0, first.stderr
    assert len(list(clone.glob("data/*/townhouses/*.png"))) == 500
    images.append(own(clone, "data/train/later/own.png"))
    second = dvc(clone, "repro", "--pull", "data.dvc")
    assert second.returncode == 0, second.stderr
    assert all(file.read_bytes() == content for file, content in images)
    assert (clone / "data.dvc").read_bytes() == (ROOT / "data.dvc").read_bytes()


def test_every_recipe_has_the_seven_stages(clone):
    answer = dvc(clone, "stage", "list", "--name-only")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == [f"{stage}@{recipe}" for stage in (*STAGES, "curves") for recipe in RECIPES]


@pytest.mark.parametrize("index", [0, 399, 400, 499])
def test_the_embedded_data_is_what_townhouses_draws(index):
    place = 0 if index < 400 else 1
    listing = yaml.safe_load((ROOT / "data.dvc").read_text())["outs"][place]["md5"]
    store = ROOT / ".dvc" / "store" / "files" / "md5"
    names = {entry["relpath"]: entry["md5"] for entry in json.loads((store / listing[:2] / listing[2:]).read_text())}
    key = names[f"{index:05d}.png"]
    drawn = scene(0, index, 64)
    with Image.open(store / key[:2] / key[2:]) as image:
        assert np.array_equal(np.asarray(image), np.concatenate([drawn.day, drawn.label_map], axis=1))


def test_the_store_lies_in_the_repository_and_nothing_is_reported_to_anyone():
    config = (ROOT / ".dvc" / "config").read_text()
    assert "url = store\n" in config
    assert "analytics = false" in config
    assert "check_update = false" in config


@pytest.mark.parametrize(("recipe", "stage"), EVERY)
def test_the_code_a_stage_depends_on_exists(recipe, stage):
    code = [name for name in watched(recipe, stage, "deps") if name.startswith("core/")]
    assert code
    assert all((ROOT / name).exists() for name in code)


def test_the_pipeline_is_what_the_table_of_stages_says():
    assert (ROOT / "dvc.yaml").read_text() == dvc_yaml(RECIPES), "python -m pipelines.dvc > dvc.yaml"


def test_an_original_that_stops_early_depends_on_what_it_is_measured_by():
    name, recipe = next(iter(RECIPES.items()))
    early = {name: {**recipe, "teach": {**recipe["teach"], "patience": 3, "check_every": 50}}}
    stages = [yaml.safe_load(dvc_yaml(recipes))["stages"] for recipes in ({name: recipe}, early)]
    assert [one["search"] for one in stages] == [PIPELINE["stages"]["search"]] * 2
    known = [{*one["teach"]["do"]["deps"], *one["teach"]["do"]["params"]} for one in stages]
    assert known[1] - known[0] == {"core/slimgen/metrics", "recipes.${key}.objective", "recipes.${key}.evaluate"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_of_the_pipeline_is_valid_and_names_every_section(recipe):
    assert load(f"{ROOT / 'params.yaml'}#recipes.{recipe}").name == recipe
    sections = {name.partition(".")[0] for stage in STAGES.values() for name in stage.sections}
    assert sections - {"name"} <= set(RECIPES[recipe])


def test_editing_the_export_does_not_train_again():
    touched = {stage for recipe, stage in EVERY if "core/slimgen/export" in watched(recipe, stage, "deps")}
    assert touched == {"export"}


@pytest.mark.parametrize(("recipe", "stage"), EVERY)
def test_a_killed_stage_keeps_its_folder(recipe, stage):
    (out,) = PIPELINE["stages"][stage]["do"]["outs"]
    assert out == {f"runs/${{key}}/{stage}": {"persist": True}}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_generator_of_a_recipe_is_a_model_in_dvcs_registry(recipe):
    (model,) = (one for one in PIPELINE["artifacts"].values() if one["path"].startswith(f"runs/{recipe}/"))
    assert (model["type"], Path(model["path"]).name) == ("model", ONNX)
    assert RECIPES[recipe]["about"] in model["desc"]
    assert all(re.fullmatch("[a-z0-9][a-z0-9-]*[a-z0-9]", name) for name in PIPELINE["artifacts"])


def test_a_recipe_that_a_user_adds_has_metrics_and_plots_without_being_named_in_the_pipeline(clone, tiny_run):
    own = yaml.safe_load((ROOT / "tests" / "stages" / "tiny.yaml").read_text())
    params = yaml.safe_load((clone / "params.yaml").read_text())
    params["recipes"] = {"mine": {**own, "seed": 0, "objective": {"metric": "psnr"}}}
    (clone / "params.yaml").write_text(yaml.safe_dump(params))
    (clone / "core").symlink_to(ROOT / "core")
    shutil.copytree(tiny_run, clone / "runs" / "mine")
    command = clone / ".venv" / "bin" / "slimgen"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT / "core"} exec {sys.executable} -m slimgen "$@"\n')
    command.chmod(0o755)
    made = dvc(clone, "repro", "--single-item", "curves@mine", path=f"{command.parent}:{os.environ['PATH']}")
    assert made.returncode == 0, made.stderr
    (figures,) = json.loads(dvc(clone, "metrics", "show", "--json").stdout)[""]["data"].values()
    measured = json.loads((tiny_run / "evaluate" / "metrics.json").read_text())
    assert figures["data"]["run"]["psnr"] == measured["found.psnr"]
    shown = dvc(clone, "plots", "show", "--json")
    assert shown.returncode == 0, shown.stderr
    plots = json.loads(shown.stdout)
    assert plots.get("errors", []) == []
    names = [name.removeprefix("runs/mine/curves/") for name in plots["data"]]
    assert names[0] == "front/front.csv"  # before the pictures
    assert {"learning/teach-teacher.csv", "learning/finetune-found.csv", "pictures/grid.png"} <= set(names)
    curve = plots["data"]["runs/mine/curves/learning/teach-teacher.csv"][0]["content"]
    assert "<DVC_METRIC" not in json.dumps(curve)
    assert curve["encoding"]["color"]["field"] == "term"
    assert (curve["encoding"]["x"]["field"], curve["encoding"]["y"]["field"]) == ("step", "value")
    assert {row["term"] for row in curve["data"]["values"]} >= {"generator.recon", "discriminator.loss"}
