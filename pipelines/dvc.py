"""Writer of `dvc.yaml`: the seven stages for `dvc repro`, from the table of stages.

python -m pipelines.dvc > dvc.yaml
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from slimgen.recipe import Recipe
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
        "stages": {stage.name: _stage(stage, parsed) for stage in stages.values()},
        "metrics": [f"runs/{name}/evaluate/metrics.json" for name in recipes],
        "plots": [
            {
                "Quality and cost of the best": {
                    "template": "scatter",
                    "x": "macs",
                    "y": {f"runs/{name}/search/pareto.csv": "psnr" for name in recipes},
                }
            },
            *(
                f"runs/{name}/{picture}.png"
                for name in recipes
                for picture in ("search/pareto", "search/architecture", "evaluate/grid")
            ),
        ],
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


def _folder(name: str) -> str:
    return DATA if name == DATA else f"runs/${{key}}/{name}"


if __name__ == "__main__":
    print(dvc_yaml(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["recipes"]), end="")
