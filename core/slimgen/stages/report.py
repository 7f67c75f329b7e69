"""Report of a run, gathered from the folders of its stages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slimgen import files
from slimgen.recipe import Recipe
from slimgen.report.gallery import Gallery
from slimgen.report.html import write_report
from slimgen.run.log import Log
from slimgen.run.record import Record, read_record
from slimgen.stages.label import Label


class Shown(NamedTuple):
    """A run in the form that its report shows.

    Attributes:
        folders: folders of the stages that `evaluate` read, by stage.
        out: the folder of `evaluate`.
        compute: device and number type.
        seconds: duration of `evaluate`, as far as it is known.
    """

    recipe: Recipe
    folders: Mapping[str, Path]
    out: Path
    label: Label
    compute: str
    seconds: float


def write_page(shown: Shown, galleries: Sequence[Gallery] | None) -> None:
    """Write the HTML report of `evaluate`.

    Args:
        shown: the run, with its table in its folder.
        galleries: pictures of single images; without any, the picture grid is shown. None keeps the pictures of the
            present report.
    """
    folders, out = _folders(shown), shown.out
    trials = Log(folders["search"] / files.TRIALS).read()
    facts = {
        "label": shown.label._asdict(),
        "recipe": shown.recipe,
        "table": files.read_json(out / files.TABLE),
        "stages": {
            **{name: dict(read_record(folder)) for name, folder in folders.items()},
            "evaluate": {"seconds": shown.seconds},
        },
        "logs": {
            path.stem.removeprefix("log-"): Log(path).read()
            for folder in folders.values()
            for path in sorted(folder.glob(files.log_file("*")))
        },
        "genotype": files.read_json(folders["search"] / files.GENOTYPE),
        "trials": trials,
        "manifest": files.read_json(folders["prepare"] / files.MANIFEST),
        "compute": shown.compute,
    }
    places = {
        "pareto": folders["search"] / files.FRONT,
        "architecture": folders["search"] / files.ARCHITECTURE,
        "Relaxation": folders["search"] / files.RELAXATION,
        "Filters of the first layer": folders["finetune"] / files.FILTERS,
    }
    pictures = {name: path for name, path in places.items() if path.is_file()}
    write_report(
        out / files.REPORT, facts, pictures if galleries else {"grid": out / files.GRID, **pictures}, galleries
    )


def _folders(shown: Shown) -> dict[str, Path]:
    """Return the folders of the earlier stages in order, with the supernet's if it is beside them.

    `evaluate` does not read the supernet, but the report shows its time and losses if the folder beside the others is
    the one that the search used.
    """
    folders = dict(shown.folders)
    searched: Record = read_record(folders["search"])
    for home in (shown.out.parent, folders["search"].parent):
        record = read_record(home / "supernet")
        if record.get("finished") and record["digest"] == searched.get("inputs", {}).get("supernet"):
            folders["supernet"] = home / "supernet"
    order = ("prepare", "teach", "supernet", "search", "finetune")
    return {name: folders[name] for name in order if name in folders}
