"""The stage that searches, and what it leaves: every trial, the Pareto front, the winner."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from slimgen.data.images import read_image
from slimgen.files import (
    ARCHITECTURE,
    FRONT,
    GENOTYPE,
    PARETO,
    RELAXATION,
    TRACE,
    TRIALS,
    write_json,
    write_lines,
    write_text,
)
from slimgen.methods import open_method
from slimgen.methods.method import Found
from slimgen.methods.relaxation_trace import LIKELIHOOD
from slimgen.metrics.evaluator import goal
from slimgen.report.charts import pareto_chart, probability_chart
from slimgen.report.drawing import picture_genotype
from slimgen.run.log import Log
from slimgen.search import Objective, Trial, pareto
from slimgen.stages.work import Work


def search(work: Work) -> Mapping[str, float]:
    """Finds the architecture: `genotype.json`, `trials.jsonl`, the Pareto front as a table and a picture."""
    recipe, supernet = work.recipe, work.inputs["supernet"]
    method = open_method(recipe.method)
    found = method.search(work.job)
    objective = found.objective or Objective(recipe.objective.metric, goal(recipe.objective.metric))
    last = [trial for trial in found.trials if trial.step == found.trial.step]
    front = pareto(last, objective)
    limits = work.job.budget.limits
    write_trials(work.out, found, front, limits)
    # An estimate is no point of a chart of what was measured.
    measured = [trial for trial in found.trials if trial.complete]
    source = "of the relaxation" if objective.metric == LIKELIHOOD else "validation"
    path = work.out / FRONT
    pareto_chart(measured, objective, path, chosen=found.trial, limit=limits.get("macs"), measured=source)
    if (supernet / TRACE).is_file():
        probability_chart(Log(supernet / TRACE).read(), work.out / RELAXATION)
    draw = getattr(method, "picture_genotype", picture_genotype)
    draw(found.trial.genotype, work.out / ARCHITECTURE, recipe)
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


def write_trials(out: Path, found: Found, front: Sequence[Trial], limits: Mapping[str, float]) -> None:
    """The winner, all trials, and the front, as files. Seconds are left out: equal searches leave equal files."""
    plain = {**found.trial.to_json(), "limits": dict(limits)}
    plain.pop("seconds")
    write_json(out / GENOTYPE, plain)
    lines = [trial.to_json() for trial in found.trials]
    write_lines(out / TRIALS, [{name: line[name] for name in line if name != "seconds"} for line in lines])
    rows = [row(trial) for trial in front]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(out / PARETO, text.getvalue())


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
    for name in (GENOTYPE, PARETO, TRIALS):
        tracker.artifact(work.out / name)
    for name in (FRONT, ARCHITECTURE, RELAXATION):
        if (picture := work.out / name).is_file():
            tracker.image(picture.stem, read_image(picture))
