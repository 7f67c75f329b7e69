"""What a run leaves: its outputs, to be compared with another's, and what should not be there."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from slimgen.files import CARD, CHECKPOINTS, METRICS, REPORT, REVERSE, TABLE, of_direction, read_json, sha256_file
from slimgen.run.place import is_parked
from slimgen.run.record import HALF_WRITTEN, content, read_record
from slimgen.run.tracking import OWED
from slimgen.stages.table import STAGES

TIMED = (TABLE, METRICS, "card.json", of_direction("card.json", REVERSE))
"""Outputs that hold milliseconds beside other figures, which are compared one by one."""
SHOWN = (REPORT, CARD, of_direction(CARD, REVERSE))
"""Outputs that show those figures, with dates."""
MEASURED = ("latency", "seconds", "_ms", "speed")


def outcome(run: Path) -> dict[str, str]:
    """What a run ended with, by stage and name: the SHA-256 of each output, and each figure that is no duration."""
    found: dict[str, str] = {}
    for stage in STAGES:
        found |= {f"{stage} {name}": str(value) for name, value in figures(read_record(run / stage)["metrics"]).items()}
        for name in sorted(content(run / stage)):
            path = run / stage / name
            if path.name in TIMED:
                values = figures(read_json(path))
                found |= {f"{stage}/{name} {key}": str(value) for key, value in values.items()}
            elif not path.name.startswith(SHOWN):
                found[f"{stage}/{name}"] = sha256_file(path)
    return found


def figures(values: object, name: str = "") -> dict[str, object]:
    """Nested values under dotted names, without those that say how long something took."""
    items: Mapping[Any, object] = {}
    if isinstance(values, dict):
        items = values
    elif isinstance(values, list):
        items = dict(enumerate(values))
    else:
        return {name: values}
    found: dict[str, object] = {}
    for key, value in items.items():
        if not any(word in str(key) for word in MEASURED):
            found |= figures(value, f"{name}.{key}" if name else str(key))
    return found


def at_work(run: Path, seed: int = 0) -> str:
    """The stage that is under way: the first that has not finished with this seed."""
    records = {stage: read_record(run / stage) for stage in STAGES}
    return next((stage for stage, one in records.items() if not one.get("finished") or one.get("seed") != seed), "none")


def parked(run: Path) -> list[Path]:
    """The finished results of another seed that lie beside those of now."""
    return [path for path in run.iterdir() if is_parked(path) and read_record(path).get("seed") == 1]


def left_behind(run: Path) -> list[str]:
    """What no reader knows in the folders of stages and beside them, and what MLflow takes for unfinished."""
    left = [path for path in run.rglob("*") if HALF_WRITTEN.search(path.name) or path.name.endswith(".partial")]
    left += list(run.rglob(CHECKPOINTS))
    left += [path for path in run.iterdir() if is_parked(path) and not read_record(path).get("finished")]
    left += [*run.parent.glob(".mlflow.db.*"), *run.glob(f".*{OWED}")]
    return [str(path.relative_to(run.parent)) for path in left] + unfinished(run.parent / "mlflow.db")


def unfinished(store: Path) -> list[str]:
    """The runs of a store that are not shown as finished, and stages of which it has no finished run."""
    with closing(sqlite3.connect(store)) as opened:
        runs = opened.execute("SELECT name, status FROM runs WHERE lifecycle_stage = 'active'").fetchall()
    left = [f"MLflow: {name} is {status}" for name, status in runs if status != "FINISHED"]
    return left + [f"MLflow: no {stage}" for stage in STAGES if (stage, "FINISHED") not in runs]
