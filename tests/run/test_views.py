import json
import shutil

import pytest

from slimgen.errors import RunError
from slimgen.run.tracking import candidates_view, generators_view, sync


def saved(client, path: str) -> dict:
    key = path.partition("viewStateShareKey=")[2].partition("&")[0]
    return json.loads(client.get_experiment_by_name("slimgen").tags[f"mlflow.sharedViewState.{key}"])


def test_a_search_is_shown_by_quality_macs_and_parameters_where_no_milliseconds_were_measured(client, tiny_run) -> None:
    path = candidates_view(tiny_run)
    assert candidates_view(tiny_run / "search") == path
    state = saved(client, path)
    (chart,) = state["compareRunCharts"]
    assert (chart["type"], chart["selectedMetrics"], chart["selectedParams"]) == (
        "PARALLEL",
        ["psnr", "macs", "params"],
        [],
    )
    assert chart["metricSectionId"] == state["compareRunSections"][0]["uuid"]
    experiment = client.get_experiment_by_name("slimgen").experiment_id
    found = client.search_runs([experiment], state["searchFilter"])
    front = (tiny_run / "search" / "pareto.csv").read_text().splitlines()[1:]
    assert len(found) == len(front)
    for run in found:
        assert {"psnr", "macs", "params"} <= run.data.metrics.keys()
        assert run.info.run_name.startswith(f"{run.data.metrics['psnr']:.4g} dB, ")


def test_a_search_under_a_latency_budget_is_shown_by_its_milliseconds(client, tiny_run, tmp_path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "timed")
    trials = [json.loads(line) for line in (run / "search" / "trials.jsonl").read_text().splitlines()]
    for trial in trials:
        trial["costs"]["latency_ms"] = 1.5
    (run / "search" / "trials.jsonl").write_text("".join(f"{json.dumps(trial)}\n" for trial in trials))
    (chart,) = saved(client, candidates_view(run))["compareRunCharts"]
    assert chart["selectedMetrics"] == ["psnr", "macs", "latency_ms"]


def test_the_generators_of_all_runs_are_listed_best_first(client, tiny_run) -> None:
    assert generators_view() is None
    sync(tiny_run / "evaluate")
    state = saved(client, generators_view())
    assert state["selectedColumns"] == ["metrics.`psnr`", "metrics.`macs`", "metrics.`p50_ms`", "metrics.`params`"]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`psnr`", False)
    experiment = client.get_experiment_by_name("slimgen").experiment_id
    found = client.search_runs([experiment], state["searchFilter"], order_by=["metrics.`psnr` DESC"])
    table = json.loads((tiny_run / "evaluate" / "table.json").read_text())
    assert {run.data.params["row"] for run in found} == {row["name"] for row in table["rows"]}


def test_a_run_without_a_search_has_nothing_to_compare(client, tmp_path) -> None:
    with pytest.raises(RunError, match="a finished search"):
        candidates_view(tmp_path)
