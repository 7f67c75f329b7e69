"""Which versions of a model may be compared, and which of two is the better one. It knows nothing of MLflow.

Two versions are of one class if the same figure was measured on the same images in the same way, and both were found
under the same limits:

- task and size of the images,
- metric: the recipe's objective, or the first metric of the table if the objective was not measured on test images,
- protocol of that metric, as the table of `evaluate` states it, which has the digest of the test images,
- budget: the limits as numbers, so that `1/8` of another original is another limit; limits of MACs with their
  convention, limits of milliseconds with the processor and threads that they were measured with.

Seeds, methods, training images and lengths of trainings differ freely within a class: they are what is compared.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from slimgen.recipe.sections import BudgetSection
from slimgen.run.record import Record

CLASS, SCORE, GOAL = "class", "score", "goal"


class Standing(NamedTuple):
    """A generator's class and its value there.

    Attributes:
        about: task, size, metric, protocol and budget in words, which make up the class.
        score: the generator's value of the metric.
        goal: `min` or `max`, whichever is better.
    """

    about: Mapping[str, str]
    score: float
    goal: str

    @property
    def key(self) -> str:
        """Return twelve hexadecimal digits that stand for the class."""
        return hashlib.sha256(json.dumps(dict(self.about), sort_keys=True).encode()).hexdigest()[:12]

    def tags(self) -> dict[str, str]:
        """Return the tags of a version from which `beats` judges without the run's folder; the class comes last."""
        words = {f"{CLASS}.{name}": text for name, text in self.about.items()}
        return {SCORE: repr(self.score), GOAL: self.goal, **words, CLASS: self.key}

    def comparable(self, tags: Mapping[str, str]) -> bool:
        """Return whether a version with these tags is of the same class."""
        return tags.get(CLASS) == self.key and _number(tags.get(SCORE)) is not None

    def beats(self, tags: Mapping[str, str]) -> bool:
        """Return whether it is better than a version of the same class with these tags; equal is not better."""
        other = _number(tags.get(SCORE))
        if other is None or not self.comparable(tags):
            return False
        return self.score > other if self.goal == "max" else self.score < other


def standing(record: Record, table: Mapping[str, Any], row: str, suffix: str = "") -> Standing | None:
    """Return the standing of an exported generator.

    Args:
        record: that of `export`.
        table: that of `evaluate`.
        row: the generator's name in the table.
        suffix: that of the reverse direction, or nothing.

    Returns:
        None if no metric of the generator is known to be better when larger or smaller, or if its value is not finite.
    """
    rows = {line["name"]: line for line in table["rows"]}
    goals, values = table.get("goals", {}), rows.get(row, {}).get("metrics", {})
    objective = record.get("tags", {}).get("metric")
    metric = next((name for name in (objective, *values) if name in values and name in goals), None)
    if metric is None or not math.isfinite(values[metric] if values[metric] is not None else math.nan):
        return None
    about = {
        "task": f"{record.get('tags', {}).get('task')}{suffix}",
        "size": json.dumps(table.get("size")),
        "metric": str(metric),
        "protocol": protocol_of(str(table.get("protocol", "")), str(metric), goals),
        "budget": budget(record, rows.get(f"original{suffix}"), str(table["convention"])),
    }
    return Standing(about, float(values[metric]), str(goals[metric]))


def protocol_of(line: str, metric: str, metrics: Mapping[str, object]) -> str:
    """Return a table's protocol without what it says of other metrics than this one.

    A run that measures one metric more is comparable with one that does not.
    """
    first, *rest = line.split("; ")
    names, of, images = first.partition(" of ")
    if of and "+" in names:
        first = "+".join(name for name in names.split("+") if name.partition("@")[0] == metric) + of + images
    others = tuple(f"{other}: " for other in metrics if other != metric)
    return "; ".join([first, *(part for part in rest if not part.startswith(others))])


def budget(record: Record, original: Mapping[str, Any] | None, convention: str) -> str:
    """Return the limits of a run in words, as numbers: `macs 70,900,000 (exact)`; `none` without limits.

    Shares are of the original's costs in the table; without an original they stay shares.
    """
    settings = record.get("settings", {})
    given = settings.get("budget")
    section = BudgetSection.model_validate(given if isinstance(given, Mapping) else {})
    if original is not None and original.get("macs"):
        costs = {"macs": original["macs"][convention], "params": original["params"], "bytes": original["bytes"]}
        limits: Mapping[str, object] = section.resolve(costs)
    else:
        limits = section.model_dump(exclude_none=True, exclude={"convention"})
    words = []
    for name, value in limits.items():
        measured = {"macs": f" ({section.convention})", "latency_ms": f" ({_clock(record)})"}.get(name, "")
        number = f"{value:g}" if name == "latency_ms" else f"{value:,.0f}" if isinstance(value, float) else value
        words.append(f"{name} {number}{measured}")
    return ", ".join(words) or "none"


def _clock(record: Record) -> str:
    """Return the processor and number of threads with which milliseconds were measured."""
    evaluate = record.get("settings", {}).get("evaluate")
    threads = evaluate.get("threads") if isinstance(evaluate, Mapping) else None
    return f"{record.get('machine', {}).get('cpu', 'unknown processor')}, {threads} threads"


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
