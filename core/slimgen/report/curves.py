"""Course and result of a run as small tables: CSV and JSON that DVC, pandas and spreadsheets read.

Everything is derived from the folders of the stages; nothing reads it again, and no result depends on it.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from slimgen import files
from slimgen.errors import RunError
from slimgen.report.table import ORIGINAL, TableRow, read_table
from slimgen.run.log import Log
from slimgen.run.record import name_of, read_record
from slimgen.search import Objective, Trial
from slimgen.search.trial import leaders

LEARNING, FRONT, PICTURES = "learning", "front", "pictures"
"""Folders of tables and pictures, which exist even if a method writes none of them."""
FIGURES = "metrics.json"
SHOWN = {"search": (files.FRONT, files.ARCHITECTURE, files.RELAXATION), "evaluate": (files.GRID,)}
TRAINED = ("teach", "supernet", "search", "finetune")


def write_curves(run: Path, out: Path) -> list[Path]:
    """Write the tables of a run's finished stages into a folder, and return the files.

    - `learning/STAGE-TRAINING.csv`: step, term, value: the losses and measurements in a training's log,
    - `learning/search-best.csv`: round, step of the search, and the best value so far,
    - `front/front.csv`: quality, MACs and parameters of the candidates on the search's front,
    - `metrics.json`: the figures of the found generator and of the original, under the run's name,
    - `pictures/`: those of search and evaluation.

    Raises:
        RunError: there is no finished stage, or a file cannot be written.
    """
    folders = {stage: run / stage for stage in (*TRAINED, "evaluate")}
    finished = [stage for stage, folder in folders.items() if read_record(folder).get("finished")]
    if not finished:
        raise RunError("there must be a run with a finished stage", run, "run `slimgen run` first")
    for name in (LEARNING, FRONT, PICTURES):
        (out / name).mkdir(parents=True, exist_ok=True)
        for old in (*(out / name).glob("*.csv"), *(out / name).glob("*.png")):  # of what the run no longer has
            old.unlink()
    written = []
    for stage in finished:
        for path in sorted(folders[stage].glob(files.log_file("*"))) if stage in TRAINED else ():
            rows = list(course(path))
            if path.name != files.ROUNDS and rows:
                name = f"{stage}-{path.stem.removeprefix('log-')}.csv"
                written.append(_write(out / LEARNING / name, ("step", "term", "value"), rows))
    if "search" in finished:
        written += _search(folders["search"], out)
    if "evaluate" in finished:
        written.append(out / FIGURES)
        files.write_json(out / FIGURES, figures(folders["evaluate"]))
    for stage, names in SHOWN.items():
        for name in names if stage in finished else ():
            if (folders[stage] / name).is_file():
                files.write_bytes(out / PICTURES / name, (folders[stage] / name).read_bytes())
                written.append(out / PICTURES / name)
    return written


def course(log: Path) -> Iterable[tuple[int, str, float]]:
    """Yield step, term and value of a training's log, without its learning rates."""
    for line in Log(log).read():
        step = line.pop("step", None)
        for name, value in line.items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if isinstance(step, int) and number and not name.startswith("rate."):
                yield step, name, float(str(value))


def figures(evaluate: Path) -> dict[str, dict[str, float]]:
    """Return what a run is judged by, under its name: quality, MACs and milliseconds of original and found one.

    The names are few and short, since DVC shows each in a column: `psnr`, `psnr_original`, `macs`, `times_fewer_macs`,
    `ms`, `times_faster`.
    """
    table = read_table(evaluate / files.TABLE)
    rows = {row.name: row for row in table.rows}
    found = next((row for row in table.rows if not row.name.startswith(ORIGINAL)), table.rows[0])
    original = rows.get(ORIGINAL)
    values: dict[str, float | None] = dict(found.metrics)
    if original is not None and (metric := next(iter(found.metrics), None)):
        values |= {f"{metric}_original": original.metrics.get(metric)}
    values |= {"macs": found.macs.get(table.convention), **_factors(found, original, table.convention)}
    known = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    return {name_of(evaluate): known}


def _factors(found: TableRow, original: TableRow | None, convention: str) -> dict[str, float | None]:
    """Return milliseconds, and how many times less the found generator costs than the original."""
    factors: dict[str, float | None] = {"ms": found.p50_ms}
    if original is not None and original.macs.get(convention) and found.macs.get(convention):
        factors["times_fewer_macs"] = round(original.macs[convention] / found.macs[convention], 3)
    if original is not None and original.p50_ms and found.p50_ms:
        factors["times_faster"] = round(original.p50_ms / found.p50_ms, 3)
    return factors


def _search(search: Path, out: Path) -> list[Path]:
    """Write the course of a search, and its front."""
    winner = files.read_json(search / files.GENOTYPE)
    objective = winner.get("objective") if isinstance(winner, Mapping) else None
    if not isinstance(objective, Mapping) or not (search / files.PARETO).is_file():
        return []
    goal = Objective(**objective)
    lines = (search / files.TRIALS).read_text(encoding="utf-8").splitlines()
    trials = [Trial.from_json({"seconds": 0.0, **json.loads(line)}) for line in lines]
    rounds = [(number, trial.step, trial.quality[goal.metric]) for number, trial in leaders(trials, goal)]
    with (search / files.PARETO).open(newline="", encoding="utf-8") as file:
        front = [
            (row.get(goal.metric, ""), row.get("macs", ""), row.get("params", ""), row["key"])
            for row in csv.DictReader(file)
        ]
    return [
        _write(out / LEARNING / "search-best.csv", ("step", "term", "value"), rounds),
        _write(out / FRONT / "front.csv", ("quality", "macs", "params", "key"), front),
    ]


def _write(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
    return path
