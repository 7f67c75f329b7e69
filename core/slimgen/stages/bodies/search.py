"""The search and its files: every trial, the Pareto front, the winner."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from slimgen import files
from slimgen.methods import open_method
from slimgen.methods.method import Found
from slimgen.methods.relaxation_trace import LIKELIHOOD
from slimgen.metrics.registry import find
from slimgen.report.charts import probability_chart
from slimgen.report.figures import picture_genotype
from slimgen.report.front import front_chart, limited_cost
from slimgen.run.log import Log
from slimgen.search import Objective, Trial, pareto
from slimgen.stages.work import Work


def search(work: Work) -> Mapping[str, float]:
    """Find the architecture; write `genotype.json`, `trials.jsonl`, and the Pareto front as a table and a picture."""
    recipe, trace = work.recipe, work.inputs["supernet"] / files.TRACE
    method = open_method(recipe.method)
    found = method.search(work.job)
    objective = found.objective or Objective(recipe.objective.metric, find(recipe.objective.metric).goal)
    limits, steps = work.job.budget.limits, found.steps or (found.trial.step,)
    front = pareto([trial for trial in found.trials if trial.step in steps], objective, limited_cost(limits))
    source = "of the relaxation" if objective.metric == LIKELIHOOD else "validation"
    goals = {"limits": dict(limits), "objective": asdict(objective), "measured": source, "steps": steps}
    write_trials(work, found, front, goals)
    # The chart shows measured values, not estimates.
    measured = [trial for trial in found.trials if trial.complete]
    if found.trials:
        path = work.out / files.FRONT
        front_chart(measured, objective, path, chosen=found.trial, limits=limits, steps=steps, measured=source)
    if trace.is_file():
        probability_chart(Log(trace).read(), work.out / files.RELAXATION)
    if found.trial.genotype:
        draw = getattr(method, "picture_genotype", picture_genotype)
        draw(found.trial.genotype, work.out / files.ARCHITECTURE, recipe)
    quality = {f"val_{name}": value for name, value in found.trial.quality.items()}
    return {**quality, **found.trial.costs, **found.facts, "pareto": len(front)}


def write_trials(work: Work, found: Found, front: Sequence[Trial], goals: Mapping[str, object]) -> None:
    """Write the winner with its objective, all trials, and the front.

    Seconds are left out, so that equal searches write equal files.
    """
    winner, *lines = (
        {name: value for name, value in trial.to_json().items() if name != "seconds"}
        for trial in (found.trial, *found.trials)
    )
    files.write_json(work.out / files.GENOTYPE, {**winner, **goals})
    files.write_lines(work.out / files.TRIALS, lines)
    if not front:
        return
    rows = [trial.row() for trial in front]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(work.out / files.PARETO, text.getvalue())
