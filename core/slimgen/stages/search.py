"""The stage that searches, and what it leaves: every trial, the Pareto front, the winner."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from slimgen.data.images import read_image
from slimgen.methods import open_method
from slimgen.methods.method import Found
from slimgen.methods.relaxation_trace import LIKELIHOOD, TRACE
from slimgen.metrics.evaluator import goal
from slimgen.report.charts import pareto_chart, probability_chart
from slimgen.report.drawing import picture_genotype
from slimgen.run.log import Log
from slimgen.search import Objective, Trial, pareto
from slimgen.stages.work import Work

RELAXATION = "relaxation.png"
"""What a relaxation's choices believed while it was trained."""


def search(work: Work) -> Mapping[str, float]:
    """Finds the architecture: `genotype.json`, `trials.jsonl`, the Pareto front as a table and a picture."""
    recipe, supernet = work.recipe, work.inputs["supernet"]
    method = open_method(recipe.method)
    found = method.search(work.job)
    objective = found.objective or Objective(recipe.objective.metric, goal(recipe.objective.metric))
    last = [trial for trial in found.trials if trial.step == found.trial.step]
    front = pareto(last, objective)
    write_trials(work.out, found, front)
    limit = found.limits.get("macs")
    # An estimate is no point of a chart of what was measured.
    measured = [trial for trial in found.trials if trial.complete]
    source = "of the relaxation" if objective.metric == LIKELIHOOD else "validation"
    path = work.out / "pareto.png"
    pareto_chart(measured, objective, path, chosen=found.trial, limit=limit, measured=source)
    if (supernet / TRACE).is_file():
        probability_chart(Log(supernet / TRACE).read(), work.out / RELAXATION)
    draw = getattr(method, "picture_genotype", picture_genotype)
    draw(found.trial.genotype, work.out / "architecture.png", recipe)
    track(work, found, front, objective)
    quality = {f"val_{name}": value for name, value in found.trial.quality.items()}
    return {**quality, **found.trial.costs, **found.facts, "pareto": len(front)}


def row(trial: Trial) -> dict[str, object]:
    """One trial as a row of a table."""
    return {
        "key": trial.genotype.key,
        "step": trial.step,
        "round": trial.round,
        **trial.quality,
        **trial.costs,
        "complete": trial.complete,
        **trial.genotype.to_json(),
    }


def write_trials(out: Path, found: Found, front: Sequence[Trial]) -> None:
    """The winner, all trials, and the front, as files. Seconds are left out: equal searches leave equal files."""
    plain = {**found.trial.to_json(), "limits": dict(found.limits)}
    plain.pop("seconds")
    (out / "genotype.json").write_text(json.dumps(plain, indent=1) + "\n")
    with (out / "trials.jsonl").open("w") as file:
        for trial in found.trials:
            values = trial.to_json()
            values.pop("seconds")
            file.write(json.dumps(values) + "\n")
    rows = [row(trial) for trial in front]
    with (out / "pareto.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def track(work: Work, found: Found, front: Sequence[Trial], objective: Objective) -> None:
    """Metrics by round, one table of all trials, and a child run for each member of the front."""
    tracker, metric = work.tracker, objective.metric
    best: dict[str, float] = {}
    sign = 1 if objective.goal == "max" else -1
    steps = dict.fromkeys((trial.step, trial.round) for trial in found.trials)
    for number, (step, round_) in enumerate(steps):
        of_round = [trial for trial in found.trials if (trial.step, trial.round) == (step, round_)]
        seen = [trial.quality[metric] for trial in of_round if trial.complete]
        # The first round of a step is always measured completely.
        best[step] = max([*([best[step]] if step in best else []), *seen], key=lambda value: sign * value)
        tracker.metrics({f"{step}.best_{metric}": best[step]}, number)
    tracker.table("trials", [row(trial) for trial in found.trials])
    for trial in front:
        name = f"{trial.genotype.key}{' (found)' if trial == found.trial else ''}"
        tracker.child(name, trial.genotype.to_json(), {**trial.quality, **trial.costs}, {"key": trial.genotype.key})
    for name in ("genotype.json", "pareto.csv", "trials.jsonl"):
        tracker.artifact(work.out / name)
    for name in ("pareto", "architecture", Path(RELAXATION).stem):
        if (picture := work.out / f"{name}.png").is_file():
            tracker.image(name, read_image(picture))
