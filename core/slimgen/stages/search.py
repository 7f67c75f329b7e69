"""The stage that searches, and what it leaves: every trial, the Pareto front, the winner."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

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
from slimgen.metrics.registry import find
from slimgen.report.charts import pareto_chart, probability_chart
from slimgen.report.figures import picture_genotype
from slimgen.run.log import Log
from slimgen.search import Objective, Trial, pareto
from slimgen.stages.work import Work


def search(work: Work) -> Mapping[str, float]:
    """Finds the architecture: `genotype.json`, `trials.jsonl`, the Pareto front as a table and a picture."""
    recipe, supernet = work.recipe, work.inputs["supernet"]
    method = open_method(recipe.method)
    found = method.search(work.job)
    objective = found.objective or Objective(recipe.objective.metric, find(recipe.objective.metric).goal)
    last = [trial for trial in found.trials if trial.step == found.trial.step]
    front = pareto(last, objective)
    limits = work.job.budget.limits
    write_trials(work.out, found, front, {"limits": dict(limits), "objective": asdict(objective)})
    # An estimate is no point of a chart of what was measured.
    measured = [trial for trial in found.trials if trial.complete]
    source = "of the relaxation" if objective.metric == LIKELIHOOD else "validation"
    path = work.out / FRONT
    pareto_chart(measured, objective, path, chosen=found.trial, limit=limits.get("macs"), measured=source)
    if (supernet / TRACE).is_file():
        probability_chart(Log(supernet / TRACE).read(), work.out / RELAXATION)
    draw = getattr(method, "picture_genotype", picture_genotype)
    draw(found.trial.genotype, work.out / ARCHITECTURE, recipe)
    quality = {f"val_{name}": value for name, value in found.trial.quality.items()}
    return {**quality, **found.trial.costs, **found.facts, "pareto": len(front)}


def write_trials(out: Path, found: Found, front: Sequence[Trial], goals: Mapping[str, object]) -> None:
    """The winner and what it was to reach, all trials, and the front, as files.

    Seconds are left out: equal searches leave equal files.
    """
    plain = {**found.trial.to_json(), **goals}
    plain.pop("seconds")
    write_json(out / GENOTYPE, plain)
    lines = [trial.to_json() for trial in found.trials]
    write_lines(out / TRIALS, [{name: line[name] for name in line if name != "seconds"} for line in lines])
    rows = [trial.row() for trial in front]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(out / PARETO, text.getvalue())
