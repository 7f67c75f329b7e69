"""CF-GAN's ablations (Wang et al., ICCV 2021, Tables 4 and 5) as fair runs, which measure the gain of each part.

    python -m benchmarks.ablations [benchmarks/townhouses-32.yaml] [--seeds 0 1 2] [--only AP1 joint ...]

Table 4: `AP` trains and searches a single path, `AO` a single operator, from the supernet on; there is a run for each
path and each operator, and their means are compared. `uniform` draws operators independently; `unfair` also uses one
discriminator path for all; `joint` searches all dimensions at once. All have the recipe's data, budget, losses and
updates; the table shows their effort.

Table 5: `joint` and `coarse` (coarse-to-fine) search the same supernet, without tuning candidates or training the
chosen path further, so both measure a candidate equally. Joint search may evaluate ten times as many candidates; the
figure is how many it needs until its best is as good as the result of coarse-to-fine search.

A gain counts only at p < 0.05 in a paired t test over the seeds. Runs can be resumed, and share the stages that they
have in common. Several processes may divide the work (`--only`, `--only-run`); the last one collects the figures, which
go to benchmarks/results/.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.fair import kinds
from benchmarks.fair import lines as against
from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.methods.cf_gan.options import SearchOptions, training_of
from slimgen.nets.cf_gan.space import OPERATORS, trellis_space
from slimgen.recipe import Recipe, section
from slimgen.report.paired import FOUND, differences
from slimgen.report.table import ORIGINAL, Table, read_table
from slimgen.run.record import read_record

RECIPE = "benchmarks/townhouses-32.yaml"
MORE = 10  # evaluations of joint search, as a multiple of the coarse-to-fine search's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default=RECIPE, metavar="RECIPE")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run only these and found")
    parser.add_argument("--only-run", action="store_true", help="collect no figures: other processes run the rest")
    arguments = parser.parse_args()
    base = recipe.load(arguments.recipe).override(["finetune.rivals=[]", *arguments.settings])
    named = variants(base)
    if unknown := sorted(set(arguments.only) - set(named)):
        parser.error(f"--only must name variants; got {', '.join(unknown)}; known: {', '.join(named)}")
    chosen = {name: one for name, one in named.items() if name == FOUND or not arguments.only or name in arguments.only}
    outs: list[dict[str, Path]] = []
    for seed in arguments.seeds:
        outs.append({name: arguments.out / f"{base.name}-{seed}-{name}" for name in chosen})
        for name, out in outs[-1].items():
            stages.run(chosen[name].override([f"seed={seed}"]), data=arguments.data, out=out, until="evaluate")
    if not arguments.only_run:
        found = collected(base.name, outs)
        about = {"recipe": base.name, "settings": arguments.settings, "seeds": arguments.seeds}
        save(f"ablations-{base.name}", {**about, **found})
        print("\n".join(lines(base.name, found)))


def variants(base: Recipe) -> dict[str, Recipe]:
    """Return the recipes by name; `found` is the one that the others are compared with."""
    options = training_of(base)
    asked = section(SearchOptions, base.search, "search").evaluations
    kept = {key: base.search[key] for key in ("population", "elite", "mutation") if key in base.search}
    plain = {**kept, "evaluations": asked}
    joint = {**kept, "order": "joint", "evaluations": MORE * asked}
    paths = trellis_space(options.shape)["path"].options  # type: ignore[union-attr]
    settings = {
        FOUND: [],
        **{f"AP{number}": [f"supernet.path={path}"] for number, path in enumerate(paths, 1)},
        **{f"AO{number}": [f"supernet.operators={operator}"] for number, operator in enumerate(OPERATORS, 1)},
        "uniform": ["supernet.sampling=uniform"],
        "unfair": ["supernet.sampling=uniform", "supernet.matching=one"],
        "coarse": [f"search={json.dumps(plain)}"],
        "joint": [f"search={json.dumps(joint)}"],
    }
    return {name: base.override(each) for name, each in settings.items()}


def collected(name: str, outs: Sequence[Mapping[str, Path]]) -> dict[str, Any]:
    """Return the rows of every seed, the whole method's gains over each variant, and the costs of both searches."""
    tables = [joined(name, seed, folders) for seed, folders in enumerate(outs)]
    costs = [searched(folders["coarse"], folders["joint"]) for folders in outs if {"coarse", "joint"} <= set(folders)]
    return {
        "rows": [[asdict(row) for row in table.rows] for table in tables],
        "kinds": kinds(tables),
        "differences": [one.facts for one in differences(tables)],
        "searches": costs,
    }


def joined(name: str, seed: int, folders: Mapping[str, Path]) -> Table:
    """Return the found generators of all variants with one seed as rows of one table, after the original."""
    tables = {variant: read_table(out / "evaluate" / "table.json") for variant, out in folders.items()}
    rows = {variant: {row.name: row for row in table.rows} for variant, table in tables.items()}
    found = tuple(replace(each[FOUND], name=variant) for variant, each in rows.items())
    return replace(tables[FOUND], rows=(rows[FOUND][ORIGINAL], *found), recipe=name, seed=seed)


def searched(coarse: Path, joint: Path) -> dict[str, float | None]:
    """Return evaluations and seconds of coarse-to-fine search, and of joint search until its best is as good.

    Both measure candidates in the same supernet, without tuning. None where joint search never becomes as good.
    """
    genotype = json.loads((coarse / "search" / "genotype.json").read_text())
    metric, sign = genotype["objective"]["metric"], 1 if genotype["objective"]["goal"] == "max" else -1
    wanted = sign * float(genotype["quality"][metric])
    trials = [json.loads(line) for line in (joint / "search" / "trials.jsonl").read_text().splitlines()]
    values = [sign * float(trial["quality"][metric]) for trial in trials if trial["complete"]]
    reached = next((number for number, value in enumerate(values, 1) if value >= wanted), None)
    first, second = (dict(read_record(out / "search")["metrics"]) for out in (coarse, joint))
    each = float(str(second["seconds.joint"])) / len(trials)
    return {
        "found": sign * wanted,
        "evaluations": float(str(first["evaluations"])),
        "seconds": sum(float(str(value)) for key, value in first.items() if key.startswith("seconds.")),
        "joint evaluations": reached,
        "joint seconds": None if reached is None else reached * each,
        "joint asked": len(trials),
        "joint found": sign * max(values),
    }


def lines(name: str, found: Mapping[str, Any]) -> list[str]:
    """Return Markdown lines: the variants, then the costs of the searches."""
    seeds = len(found["rows"])
    text = against(f"{name}: CF-GAN without each of its parts, {seeds} seeds", found)
    text += ["", "The latency of each run was measured by itself, not in turns with the others."]
    if costs := found["searches"]:
        text += ["", in_words(costs)]
    return text


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the paragraph of docs/results.md for a file of figures."""
    facts = found["machine"]
    head = (
        f"**CF-GAN without each of its parts** (its Tables 4 and 5), {found['recipe']}, {len(found['seeds'])} seeds, "
        "paired t tests. AP and AO: means over all fixed paths and all fixed operators; uniform: uniform sampling; "
        "unfair: the same with one discriminator path for all; coarse: coarse-to-fine search as in the paper, without "
        "slimgen's additions; joint: joint search in its supernet. Measured on "
        f"{facts['cores']} cores ({facts['cpu']}). `{found['command']}`"
    )
    return "\n".join([head, *lines(found["recipe"], found)])


def in_words(costs: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence on the costs of both searches, as means over the seeds."""
    took = {key: mean(one[key] for one in costs) for key in ("evaluations", "seconds", "found", "joint found")}
    reached = [one for one in costs if one["joint evaluations"] is not None]
    words = (
        f"Coarse-to-fine search needs {took['evaluations']:.0f} evaluations ({took['seconds']:.0f} s) to reach "
        f"{took['found']:.2f} in the supernet; joint search, of at most {costs[0]['joint asked']} evaluations, is "
        f"as good in {len(reached)} of {len(costs)} seeds"
    )
    if reached:
        needed, seconds = (mean(one[key] for one in reached) for key in ("joint evaluations", "joint seconds"))
        words += f", after {needed:.0f} evaluations ({seconds:.0f} s)"
    return f"{words}; its best is {took['joint found']:.2f}."


if __name__ == "__main__":
    main()
