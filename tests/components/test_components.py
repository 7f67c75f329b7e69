import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.image import IMAGE
from slimgen.stages.table import STAGES

ROOT = Path(__file__).resolve().parents[2]
IMPORTS = "import components.{0}, pipelines.compress, pipelines.sweep, pipelines.local, pipelines.submit"


def component(stage):
    return getattr(importlib.import_module(f"components.{stage}"), stage)


def test_there_is_one_component_for_each_stage():
    files = {path.stem for path in (ROOT / "components").glob("*.py")}
    assert files == {"__init__", "image", *STAGES}


def test_importing_components_and_pipelines_loads_nothing_heavy_and_the_environment_names_the_image():
    code = (
        "import sys\n"
        + IMPORTS.format(", components.".join(STAGES))
        + "\nfrom components.teach import teach\n"
        + "heavy = {'torch', 'numpy', 'mlflow', 'onnxruntime', 'slimgen.stages'} & set(sys.modules)\n"
        + "print(sorted(heavy), teach.component_spec.implementation.container.image)"
    )
    environment = {**os.environ, "SLIMGEN_IMAGE": "registry.example/slimgen:7"}
    command = [sys.executable, "-W", "error", "-c", code]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n")[0] == "[] registry.example/slimgen:7"


@pytest.mark.parametrize("stage", STAGES)
def test_a_component_runs_on_the_one_image_and_installs_nothing(stage):
    container = component(stage).component_spec.implementation.container
    assert container.image == IMAGE
    assert "pip" not in " ".join(container.command)


@pytest.mark.parametrize("stage", STAGES)
def test_a_component_hands_its_stage_every_folder_the_stage_asks_for(stage):
    tree = ast.parse(inspect.getsource(component(stage).python_func))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (call,) = (node for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr == stage)
    assert {keyword.arg for keyword in call.keywords} == {*STAGES[stage].reads, "out", "group", "name"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_component_gives_out_its_folder_and_its_metrics(stage):
    outputs = component(stage).component_spec.outputs
    assert {"out", "metrics"} <= set(outputs)
    assert outputs["metrics"].type == "system.Metrics@0.0.1"
