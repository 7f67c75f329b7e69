"""Writer of `dvc.yaml`: the seven stages for `dvc repro`, from the table of stages, and what DVC shows of a run.

python -m pipelines.dvc > dvc.yaml
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from slimgen.files import ONNX
from slimgen.recipe import Recipe
from slimgen.report.curves import FIGURES, FRONT, LEARNING, PICTURES
from slimgen.stages.fingerprint import sections as sections_of
from slimgen.stages.table import DATA, STAGES, Stage, measuring

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# The seven stages for `dvc repro`, once for each recipe of params.yaml. Written by `python -m pipelines.dvc`.
#
# A stage depends on the folders whose code decides its result, and on the recipe sections that it reads: editing
# core/slimgen/export does not train anything again. Code that all stages share (command line, recipe schema, run
# folders) is left out, since it decides how a result is stored and not what it is. Within a folder, the stage knows
# which code its recipe uses; if that code is unchanged, the command finds its folder finished.
#
# Outputs persist, so DVC keeps the folder of a killed stage, and the stage resumes from it.
#
# The stage `curves` makes tables of a finished run, which `dvc metrics show` and `dvc plots show` read: so a recipe
# that is added to params.yaml has metrics and plots without being named here.
#
# PATH is extended so that the command is found in .venv even if .venv is not activated.
"""
COMMAND = 'PATH="$PATH:.venv/bin" slimgen'


def dvc_yaml(recipes: Mapping[str, Mapping[str, object]]) -> str:
    """Return the text of `dvc.yaml`.

    Args:
        recipes: the recipes of params.yaml, by name.
    """
    parsed = [Recipe.parse(yaml.safe_dump(dict(recipe)), name) for name, recipe in recipes.items()]
    early = any("patience" in recipe["teach"] for recipe in recipes.values())
    stages = {**STAGES, "teach": measuring(STAGES["teach"])} if early else STAGES
    pipeline = {
        "vars": [{"slimgen": COMMAND}],
        "stages": {**{stage.name: _stage(stage, parsed) for stage in stages.values()}, "curves": _curves()},
        "artifacts": {_artifact(name): _model(name, recipe) for name, recipe in recipes.items()},
    }
    return HEAD + yaml.safe_dump(pipeline, sort_keys=False, width=120)


def _stage(stage: Stage, recipes: Sequence[Recipe]) -> dict[str, object]:
    """Return the entry of one stage for all recipes: command, dependencies and outputs."""
    out, places = _folder(stage.name), {name: _folder(name) for name in stage.reads}
    folders = " ".join(f"--{name} {place}" for name, place in places.items())
    # Includes sections that only some methods read; for other recipes the command finds its folder finished.
    read = [*stage.sections, *(part for recipe in recipes for part in sections_of(stage, recipe))]
    sections = dict.fromkeys(part.partition(".")[0] for part in read)
    rooms = sorted([*stage.code, f"stages/bodies/{stage.name}.py"])
    return {
        "foreach": "${recipes}",
        "do": {
            "cmd": f"${{slimgen}} {stage.name} --recipe params.yaml#recipes.${{key}} {folders} --out {out}",
            "deps": [*places.values(), *(f"core/slimgen/{room}" for room in rooms)],
            "params": [f"recipes.${{key}}.{section}" for section in sections if section != "name"],
            "outs": [{out: {"persist": True}}],
        },
    }


def _curves() -> dict[str, object]:
    """Return the entry of the tables of a finished run, which are DVC's metrics and plots."""
    out, stages = "runs/${key}/curves", [name for name in STAGES if name not in ("prepare", "export")]
    front = {"template": "front", "x": "macs", "y": "quality", "x_label": "MACs"}
    learning = {"template": "learning", "x": "step", "y": "value"}
    return {
        "foreach": "${recipes}",
        "do": {
            "cmd": f"${{slimgen}} curves runs/${{key}} --out {out}",
            "deps": [*(_folder(name) for name in stages), "core/slimgen/report/curves.py"],
            "metrics": [f"{out}/{FIGURES}"],
            "plots": [
                {f"{out}/{FRONT}": front},
                {f"{out}/{LEARNING}": learning},
                f"{out}/{PICTURES}",
            ],
        },
    }


def _artifact(name: str) -> str:
    """Return the name of a recipe's generator in DVC's model registry, which has letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _model(name: str, recipe: Mapping[str, object]) -> dict[str, object]:
    """Return the entry of a recipe's generator in DVC's model registry."""
    about = f"Generator that slimgen found: {recipe.get('about', name)}"
    labels = [str(recipe["task"]), str(recipe["method"])]
    return {"path": f"runs/{name}/export/{ONNX}", "type": "model", "desc": about, "labels": labels}


def _folder(name: str) -> str:
    return DATA if name == DATA else f"runs/${{key}}/{name}"


if __name__ == "__main__":
    print(dvc_yaml(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["recipes"]), end="")
