import csv
import json
from pathlib import Path

import pytest

from slimgen.errors import RunError
from slimgen.report.curves import write_curves
from slimgen.run.log import Log
from slimgen.search import Trial


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def written(tiny_run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("curves") / "curves"
    (out / "learning").mkdir(parents=True)
    (out / "learning" / "finetune-gone.csv").write_text("step,term,value\n")
    assert sorted(write_curves(tiny_run, out)) == sorted(path for path in out.rglob("*") if path.is_file())
    return out


def test_every_training_has_its_losses_by_step_without_its_rates(written, tiny_run) -> None:
    names = {"teach-teacher", "supernet-supernet", "finetune-found", "finetune-narrowed", "search-best"}
    assert {path.stem for path in (written / "learning").iterdir()} == names
    logged = Log(tiny_run / "teach" / "log-teacher.jsonl").read()
    told = [
        (str(line["step"]), name, value)
        for line in logged
        for name, value in line.items()
        if name != "step" and not name.startswith("rate.")
    ]
    found = rows(written / "learning" / "teach-teacher.csv")
    assert [(row["step"], row["term"], float(row["value"])) for row in found] == told
    assert {"generator.recon", "discriminator.loss"} <= {row["term"] for row in found}


def test_the_course_and_the_front_of_the_search_are_its_trials(written, tiny_run) -> None:
    lines = (tiny_run / "search" / "trials.jsonl").read_text().splitlines()
    trials = [Trial.from_json({"seconds": 0.0, **json.loads(line)}) for line in lines]
    best = rows(written / "learning" / "search-best.csv")
    assert max(float(row["value"]) for row in best) <= max(trial.quality["psnr"] for trial in trials)
    front = rows(written / "front" / "front.csv")
    assert [float(row["quality"]) for row in front] == [
        float(row["psnr"]) for row in rows(tiny_run / "search/pareto.csv")
    ]
    assert {row["key"] for row in front} <= {trial.genotype.key for trial in trials}


def test_the_figures_are_few_and_stand_under_the_runs_name(written, tiny_run) -> None:
    found = json.loads((written / "metrics.json").read_text())
    table = {row["name"]: row for row in json.loads((tiny_run / "evaluate" / "table.json").read_text())["rows"]}
    original, small = table["original"], table["found"]
    assert found == {
        tiny_run.name: {
            **small["metrics"],
            "psnr_original": original["metrics"]["psnr"],
            "macs": small["macs"]["exact"],
            "ms": small["latency"]["p50_ms"],
            "times_fewer_macs": round(original["macs"]["exact"] / small["macs"]["exact"], 3),
            "times_faster": round(original["latency"]["p50_ms"] / small["latency"]["p50_ms"], 3),
        }
    }


def test_pictures_are_those_of_the_run(written, tiny_run) -> None:
    assert {path.name for path in (written / "pictures").iterdir()} == {"pareto.png", "architecture.png", "grid.png"}
    assert (written / "pictures/grid.png").read_bytes() == (tiny_run / "evaluate/grid.png").read_bytes()


def test_a_folder_without_a_finished_stage_has_no_curves(tmp_path) -> None:
    with pytest.raises(RunError, match="a run with a finished stage"):
        write_curves(tmp_path, tmp_path / "curves")
    assert list(tmp_path.iterdir()) == []
