"""One stage or all: skip finished ones, resume unfinished ones, write a record, update MLflow."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from slimgen import stopping
from slimgen.device import Compute, choose
from slimgen.errors import RunError
from slimgen.files import CHECKPOINTS
from slimgen.nets import WIDTHS
from slimgen.recipe import Recipe
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.entries import surroundings
from slimgen.run.folder import StageFolder
from slimgen.run.lock import sweep
from slimgen.run.place import parked, require_place
from slimgen.run.record import Record, read_record, require_whole
from slimgen.run.tracking import catch_up, tracked, warning_once
from slimgen.shortage import shortage
from slimgen.stages.checking import check
from slimgen.stages.fingerprint import digest_input, fingerprint, require_stage, sections
from slimgen.stages.label import Label, checked, label_of, relabel
from slimgen.stages.memory import foresee
from slimgen.stages.outlook import is_among, require_places, without_effect
from slimgen.stages.reuse import take_over
from slimgen.stages.summary import heading
from slimgen.stages.table import DATA, STAGES, Stage, up_to
from slimgen.stages.work import Lines, Metrics, Progress, Work, say, warn
from slimgen.tasks import suited
from slimgen.tasks.embedded import find_images
from slimgen.training.distributed import first, peers, together, world

Body = Callable[[Work], Mapping[str, float]]
"""Function that does a stage's work and returns its metrics."""
OnBegin = Callable[[str], None]
"""Function of lines about the stage that begins."""
OnStage = Callable[[str, Metrics, float, bool], None]
"""Function of a stage, its metrics, its seconds in this process, and whether it was finished before."""


def run(
    recipe: Recipe,
    *,
    data: Path | None = None,
    out: Path,
    until: str | None = None,
    name: str | None = None,
    group: str | None = None,
    progress: Progress | None = None,
    on_stage: OnStage | None = None,
    on_begin: OnBegin | None = None,
) -> dict[str, Metrics]:
    """Run every stage of a recipe into `out/<stage>`; skip finished ones.

    Args:
        recipe: the recipe to run.
        data: the images; by default the folder `data`, or the recipe's embedded images.
        out: the run's folder.
        until: the last stage to run; all of them by default.
        name: displayed name of the run, in report, card and MLflow, and name of its registered model; by default the
            name of its folder. No result depends on it.
        group: the common group of the stages in MLflow; the run's folder by default.
        progress: called as the work proceeds.
        on_stage: is called after each stage.
        on_begin: is called once the recipe is checked, with two lines about the run.

    Returns:
        What each stage measured.

    Raises:
        SlimgenError: as the stages do; finished work stays, and the same call resumes from there.
    """
    planned, name = up_to(until), checked(name)
    stopping.heed()
    check(recipe)  # before any image is drawn
    require_places(recipe, find_images(recipe, data, out), out, planned)
    if on_begin is not None:
        on_begin(heading(recipe, _compute(recipe), out, out / "prepare"))
    images = find_images(recipe, data, out, report=say)
    group = group or str(out.resolve())
    done: dict[str, Metrics] = {}
    with warning_once():
        for stage in planned:
            place, started = out / stage.name, time.monotonic()
            before = read_record(place).get("seconds")
            folders = {needed: images if needed == DATA else out / needed for needed in stage.reads}
            done[stage.name] = perform(
                stage.name, recipe, out=place, name=name, group=group, progress=progress, on_begin=None, **folders
            )
            if on_stage is not None:
                skipped = before is not None and read_record(place).get("seconds") == before
                on_stage(stage.name, done[stage.name], time.monotonic() - started, skipped)
    return done


def perform(
    which: str,
    /,
    recipe: Recipe,
    *,
    out: Path,
    name: str | None = None,
    group: str | None = None,
    progress: Progress | None = None,
    on_begin: OnBegin | None = None,
    **inputs: Path,
) -> Metrics:
    """Run a stage into `out`, unless it holds this computation already, and return its metrics.

    `inputs` are the folders of the stages that this one reads; for `prepare`, `data` is the folder of images. `name` is
    the displayed name of the run, and `group` the common group of its stages in MLflow; by default name and path of the
    folder around `out`. By default progress is printed as lines on stderr.

    Raises:
        RunError: an input is missing, unfinished, damaged or of another stage, `out` is not a place for this stage, or
            the name cannot be a folder's.
        SlimgenError: as the stage's body does; finished work stays, and the same call resumes from there.
    """
    with stopping.listening(), peers():
        stopping.heed()
        stage, out, rank = STAGES[which], Path(out), world()[0]
        folders = _folders(stage, inputs)
        among = DATA in folders and is_among(recipe, folders[DATA], out.parent)
        require_place(out, which, {} if among else folders)
        label, group = label_of(name, recipe, out, folders), group or str(out.resolve().parent)
        digests = {other: digest_input(other, folder) for other, folder in folders.items()}
        recipe = suited(recipe, folders)
        mark = fingerprint(stage, recipe, digests, folders)
        folder = StageFolder(out, which, mark, say)
        done = first(lambda: folder.finished() or folder.install())
        if done is not None:
            require_whole(out)
            if rank == 0:  # a process may have been killed after it finished
                _remove_checkpoints(out)
                sweep(out)
                _show(stage, recipe, folders, folder, done, label, group)
                catch_up(out, parked(out, mark), warn=warn, inputs=folders)
            return _numbers(done["metrics"])
        check(recipe, stage=which)
        if which == "search" and rank == 0 and (idle := without_effect(recipe)):
            say(idle)
        if which == "teach" and rank == 0 and (needed := foresee(recipe, _smaller(stage, recipe))):
            say(needed)
        for place in (out, parked(out, mark)):
            compare_processes(read_record(place), mark)
        body: Body = getattr(import_module(f"slimgen.stages.bodies.{which}"), which)
        compute = _compute(recipe)
        if on_begin is not None:
            on_begin(heading(recipe, compute, out, folders.get("prepare", out)))
        about = _about(stage, recipe, digests, group, label)
        place = first(lambda: folder.begin(about).path)
        work = Work(recipe, folders, place, compute, progress or Lines(), mark, place, label)
        if rank > 0:
            return _follow(stage, body, work, out)
        started = time.monotonic()
        with tracked(place, warn, folders), folder:
            taken = take_over(folder) if stage.lent else None
            first(lambda: taken is not None)
            if taken is not None:
                metrics, how = _taken(which, place, *taken)
            else:
                with _mendable(stage, recipe, place):
                    metrics = dict(body(work))
                how = {"seconds": round(time.monotonic() - started, 3), "compute": str(compute)}
            folder.finish({**how, "metrics": metrics}, install=False)
            # Only now: until the record is written, a killed stage resumes from its checkpoints.
            _remove_checkpoints(place)
        folder.install()  # only after MLflow was synced with the folder under its parked name
        together()
        return metrics


def _compute(recipe: Recipe) -> Compute:
    return choose(recipe.compute.precision, recipe.compute.device, recipe.compute.threads)


def _folders(stage: Stage, inputs: Mapping[str, Path]) -> dict[str, Path]:
    """Return a stage's inputs by name: the images, or folders that earlier stages finished."""
    if wrong := inputs.keys() - set(stage.reads):
        raise TypeError(f"{stage.name} reads {', '.join(stage.reads)}; got {', '.join(wrong)}")
    folders = {other: Path(inputs[other]) for other in stage.reads}
    for other, folder in folders.items():
        if other != DATA:
            require_stage(other, folder)
    return folders


def _show(
    stage: Stage,
    recipe: Recipe,
    folders: Mapping[str, Path],
    folder: StageFolder,
    done: Record,
    label: Label,
    group: str,
) -> None:
    """Show a finished stage under its label, and update MLflow if it had another."""
    if relabel(stage, recipe, folders, folder, done, label, group):
        say(f"{stage.name}: now shown as {label.name}; nothing was computed")
        with tracked(folder.out, warn, folders):
            pass


def _about(stage: Stage, recipe: Recipe, digests: Mapping[str, str], group: str, label: Label) -> dict[str, object]:
    """Return the facts known when a stage begins."""
    tags = {"recipe": recipe.name, "method": recipe.method, "task": recipe.task}
    tags |= {"seed": str(recipe.seed), "metric": recipe.objective.metric, **surroundings()}
    tags |= {"quick": "true"} if recipe.quick else {}
    tags["data"] = digests.get("prepare", digests.get(DATA, ""))
    return {
        "recipe": recipe.to_yaml(),
        "inputs": digests,
        "seed": recipe.seed,
        "group": group,
        "label": label._asdict(),
        "tags": tags,
        "settings": sections(stage, recipe),
        "processes": world()[1],
    }


def _taken(name: str, place: Path, neighbour: Path, record: Record) -> tuple[Metrics, dict[str, object]]:
    """Log the metrics taken over from a neighbour, and return how the record continues."""
    say(f"{name}: taken over from {neighbour}, which has the same result")
    origin = {"copied_from": str(neighbour)}
    how: dict[str, object] = {"seconds": record.get("seconds"), "compute": record.get("compute")}
    return _numbers(record["metrics"]), {**how, **origin, "tags": {**read_record(place)["tags"], **origin}}


def compare_processes(before: Record, mark: str) -> None:
    """Warn if a stage resumes with another number of processes, which changes rounding as a device does."""
    begun, now = before.get("processes", 1), world()[1]
    if before.get("fingerprint") == mark and not before.get("finished") and begun != now:
        warn(f"started with {begun} and resumed with {now} processes: the result is not, bit for bit, that of either")


@contextmanager
def _mendable(stage: Stage, recipe: Recipe, out: Path) -> Iterator[None]:
    """Turn exhausted memory or disk, and unreadable or unwritable files, into errors that the user can fix."""
    try:
        with stopping.obeying():
            yield
    except SystemExit as error:
        rule, hint = "code that a stage calls must return", "let it raise an error instead"
        raise RunError(rule, f"sys.exit({error.code!r})", hint) from error
    except Exception as error:
        short = shortage(error, stage.name, out, _smaller(stage, recipe))
        if short is not None:
            raise short from error
        if isinstance(error, OSError):
            rule = "a stage must be able to read its inputs and write its folder"
            raise RunError(rule, error, "fix that and run the same command again") from error
        raise


def _smaller(stage: Stage, recipe: Recipe) -> str:
    """Return what to lower after memory ran out: the trained stage's batch size, the width of networks, the size."""
    section = getattr(recipe, stage.name, None)
    batch = section.get("batch") if isinstance(section, Mapping) else getattr(section, "batch", None)
    values = {f"{stage.name}.batch": batch}
    widths = () if DATA in stage.reads else (*WIDTHS, "hidden")  # the first stage has no networks
    values |= {f"teach.generator.{name}": recipe.teach.generator.get(name) for name in widths}
    named = [f"{key} (now {value})" for key, value in values.items() if isinstance(value, int) and value > 1]
    return f"lower {' or '.join([*named, f'size (now {recipe.size})'])}"


def _follow(stage: Stage, body: Body, work: Work, out: Path) -> Metrics:
    """Run the part of a process after the first: it trains and searches too, but its files are dropped."""
    taken_over = first(lambda: True)  # the first process's answer
    if stage.shared and not taken_over:
        with tempfile.TemporaryDirectory() as folder, _mendable(stage, work.recipe, Path(folder)):
            body(replace(work, out=Path(folder)))
    together()
    return _numbers(read_record(out)["metrics"])


def _remove_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a finished stage; weights stay in files of their own."""
    home = out / CHECKPOINTS
    if home.is_dir():
        for folder in home.iterdir():
            Checkpoints(folder, "").clear()
        if not any(home.iterdir()):
            home.rmdir()


def _numbers(values: Mapping[str, object]) -> Metrics:
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
