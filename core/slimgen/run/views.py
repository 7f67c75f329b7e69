"""Saved views of MLflow's list of runs: which runs, columns and charts an address opens.

MLflow keeps a shared view as JSON in a tag of the experiment, and an address names it by its key. Its own page for
comparing runs takes no axes by address, and its list of models cannot be sorted by a metric; a saved view can do both.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from slimgen.run.store import Store

if TYPE_CHECKING:
    from typing import Any as Run  # of MLflow, which has no types

TAG = "mlflow.sharedViewState."
KIND, METRIC, GOAL = "slimgen.kind", "slimgen.objective", "slimgen.goal"  # tags of a generator's or candidate's run
GENERATOR, CANDIDATE = "generator", "candidate"  # values of KIND
TIMES = ("latency_ms", "p50_ms", "fp32.p50_ms")
SIZES = ("macs", "params")
HEIGHT = 420  # pixels of the chart
MOST = 1000  # runs that are looked at for their metrics


class View(NamedTuple):
    """A saved view: the experiment, the key, and `CHART` or `TABLE`, by which an address opens it."""

    experiment: str
    key: str
    mode: str

    @property
    def path(self) -> str:
        """Return the part of its address after the server's."""
        runs = f"/#/experiments/{self.experiment}/runs?workflowType=machine_learning"
        return f"{runs}&viewStateShareKey={self.key}&compareRunsMode={self.mode}"


def kind_tags(kind: str, metric: str | None, goal: str | None) -> dict[str, str]:
    """Return the tags by which the runs of generators, or of candidates, are found and sorted."""
    return {name: value for name, value in ((KIND, kind), (METRIC, metric), (GOAL, goal)) if value}


def save_candidates(store: Store, experiment: str, search: str) -> View | None:
    """Save the view of a search's candidates: parallel coordinates of quality, MACs and milliseconds.

    Candidates whose milliseconds were not measured are shown by their parameters instead. Return None without any.
    """
    words = f"tags.`mlflow.parentRunId` = '{search}'"
    axes, goal = _axes(store.client.search_runs([experiment], words, max_results=MOST))
    if not axes:
        return None
    chart = {
        **{"type": "PARALLEL", "uuid": "slimgen-candidates", "metricSectionId": "slimgen", "deleted": False},
        **{"isGenerated": False, "runsCountToCompare": MOST, "showAllRuns": True},
        **{"selectedParams": [], "selectedMetrics": axes},
    }
    section = {"uuid": "slimgen", "name": "Candidates on the front", "display": True, "isReordered": False}
    charts = {
        "compareRunCharts": [chart],
        "compareRunSections": [{**section, "columns": 1, "cardHeight": HEIGHT}],
        "hideEmptyCharts": True,
        "runsHiddenMode": "SHOWALL",
    }
    return _save(store, View(experiment, f"slimgen-candidates-{search[:12]}", "CHART"), words, axes, goal, charts)


def save_generators(store: Store, experiment: str) -> View | None:
    """Save the view of all runs' generators, best first; its columns sort by quality, MACs and milliseconds.

    Return None without any.
    """
    words = f"tags.`{KIND}` = '{GENERATOR}'"
    axes, goal = _axes(store.client.search_runs([experiment], words, max_results=MOST))
    view = View(experiment, "slimgen-generators", "TABLE")
    return _save(store, view, words, [*axes, *(["params"] if "params" not in axes else [])], goal, {}) if axes else None


def _axes(runs: "Iterable[Run]") -> tuple[list[str], str]:
    """Return the metrics of runs to show: quality, MACs and milliseconds; and the goal of the quality."""
    tallied, goals, known = Counter[str](), dict[str, str](), set[str]()
    for run in runs:
        metric = run.data.tags.get(METRIC)
        if metric in run.data.metrics:
            tallied[metric] += 1
            goals[metric] = run.data.tags.get(GOAL, "max")
        known |= run.data.metrics.keys()
    quality = [metric for metric, _ in tallied.most_common(1)]
    times = [name for name in TIMES if name in known][:1]
    sizes = [name for name in SIZES if name in known][: 1 if times else 2]
    return ([*quality, *sizes, *times] if quality else []), goals.get(quality[0], "max") if quality else "max"


def _save(store: Store, view: View, words: str, columns: Sequence[str], goal: str, charts: dict[str, Any]) -> View:
    state = {
        **{"searchFilter": words, "orderByKey": f"metrics.`{columns[0]}`", "orderByAsc": goal == "min"},
        **{"startTime": "ALL", "lifecycleFilter": "Active", "datasetsFilter": [], "modelVersionFilter": "All Runs"},
        "selectedColumns": [f"metrics.`{name}`" for name in columns],
        **charts,
    }
    text, tag = json.dumps(state), f"{TAG}{view.key}"
    if store.client.get_experiment(view.experiment).tags.get(tag) != text:
        store.client.set_experiment_tag(view.experiment, tag, text)
    return view
