"""Super-resolution by the command, by the commands of dvc.yaml and by the pipeline's components: one result.

What the tools start is called here in this process, since starting them takes most of the time of
test_same_genotype.py, which has them themselves.
"""

import importlib
import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.recipe import Recipe
from townhouses import write

ROOT = Path(__file__).resolve().parents[2]
TINY = Recipe.parse((ROOT / "tests" / "methods" / "tiny_cf_gan_upscale.yaml").read_text()).override(
    [
        "name=tiny",
        "teach={generator: {family: srresnet, channels: 4, blocks: 1, scale: 4}, updates: 3, batch: 2}",
        "supernet.updates=4",
        "search.evaluations=12",
    ]
)
STAGES = ("prepare", "teach", "supernet", "search", "finetune")
GIVEN = {"images": "data", "prepared": "prepare", "taught": "teach", "supernet": "supernet", "searched": "search"}
"""The inputs of the components, and the folders that pipelines/compress.py hands to them."""


def slimgen(*words: str) -> None:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output


def by_dvc() -> Path:
    """Run the commands of dvc.yaml, stage by stage, as `dvc repro finetune@tiny` does."""
    Path("params.yaml").write_text(yaml.safe_dump({"recipes": {"tiny": yaml.safe_load(TINY.to_yaml())}}))
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for stage in STAGES:
        command = stages[stage]["do"]["cmd"].replace("${key}", "tiny")
        slimgen(*shlex.split(command.removeprefix("${slimgen} ")))
    return Path("runs/tiny")


def by_components() -> Path:
    """Call the functions of the pipeline's components, one after the other, as their containers do."""
    folders, measured = {"data": Path("data").resolve()}, SimpleNamespace(log_metric=lambda name, value: None)
    for stage in STAGES:
        run = getattr(importlib.import_module(f"components.{stage}"), stage).python_func
        folders[stage] = Path("pods", stage, "out").resolve()
        asked = [name for name in run.__annotations__ if name in GIVEN]
        given = {name: SimpleNamespace(path=str(folders[GIVEN[name]])) for name in asked}
        out = SimpleNamespace(path=str(folders[stage]))
        run(recipe=TINY.to_yaml(), kept="", **given, out=out, metrics=measured)
    return Path("pods")


def test_the_command_dvcs_commands_and_the_pipelines_components_find_and_train_the_same(
    untracked, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("data"), seed=0, train=9, test=2, size=64, layout="upscaling")
    Path("recipe.yaml").write_text(TINY.to_yaml())
    slimgen("run", "recipe.yaml", "--data", "data", "--out", "apart/run", "--until", "finetune")
    command, dvc, pods = Path("apart/run"), by_dvc(), by_components()
    wanted = {
        "teach": ("generator.safetensors",),
        "supernet": ("generator.safetensors", "discriminator.safetensors"),
        "search": ("genotype.json", "trials.jsonl"),
        "finetune": ("found.safetensors",),
    }
    for stage, names in wanted.items():
        for place in (command / stage, dvc / stage, pods / stage / "out"):
            assert "copied_from" not in json.loads((place / "stage.json").read_text())  # each computed its own
            for name in names:
                assert (place / name).read_bytes() == (command / stage / name).read_bytes(), (place, name)


@pytest.mark.parametrize("stage", STAGES)
def test_each_component_is_called_with_all_that_it_takes(stage) -> None:
    run = getattr(importlib.import_module(f"components.{stage}"), stage).python_func
    assert run.__annotations__.keys() - {"recipe", "kept", "out", "metrics", "return"} <= GIVEN.keys()
