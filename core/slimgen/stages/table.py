"""The seven stages in one table: inputs of each, what decides its result, and which of them train.

It does not import torch. The command line, `dvc.yaml` and the components must agree with it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from slimgen.errors import RunError, nearest
from slimgen.files import REPORT

DATA = "data"
"""Name of the folder or archive of images that `prepare` reads, the only input that no stage writes."""


@dataclass(frozen=True)
class Stage:
    """Facts about a stage before it runs.

    Attributes:
        name: name of the stage, its command, its DVC stage, its component, and its body's function and file.
        about: its purpose, in one line.
        reads: the stages whose folders it reads, or `DATA`.
        sections: the parts of a recipe that decide its result; `section.key` is one key of a section.
        code: the folders and files of the package whose code decides its result if the recipe uses it, besides its
            body's file.
        trains: whether it trains networks, even if only to choose among them.
        shared: whether several processes run it together; else the first process works alone.
        lent: whether a neighbouring run may reuse its results; reports and cards belong to each run.
    """

    name: str
    about: str
    reads: tuple[str, ...]
    sections: tuple[str, ...]
    code: tuple[str, ...]
    trains: bool = False
    shared: bool = False
    lent: bool = True


IMAGES = ("task", "size", "seed", "data")
TRAINING = (*IMAGES, "compute", "losses", "teach")
SEARCHING = (*TRAINING, "method", "supernet")
READING = ("data/batches.py", "data/patches.py", "data/pictures.py")
TIMING = ("export/latency", "export/rewriting", "export/formats.py")
LEARNING = (*READING, "device.py", "nets", "tasks", "training")
CANDIDATES = (*LEARNING, "cost", *TIMING, "methods", "metrics", "search")

_STAGES = (
    Stage(
        "prepare",
        "Decode the images once, into arrays, and list the rejected ones.",
        reads=(DATA,),
        sections=IMAGES,
        code=("data", "tasks"),
    ),
    Stage(
        "teach",
        "Train the original GAN, or import it from a checkpoint.",
        reads=("prepare",),
        sections=TRAINING,
        code=LEARNING,
        trains=True,
        shared=True,
    ),
    Stage(
        "supernet",
        "Train the weight-sharing network of the method.",
        reads=("prepare", "teach"),
        sections=SEARCHING,
        code=(*LEARNING, "methods", "search"),
        trains=True,
        shared=True,
    ),
    Stage(
        "search",
        "Search for the best architecture within the budget.",
        reads=("prepare", "teach", "supernet"),
        sections=(*SEARCHING, "budget", "objective", "search", "evaluate.features", "evaluate.threads"),
        code=CANDIDATES,
        trains=True,
        shared=True,
    ),
    Stage(
        "finetune",
        "Train the found generator, and the rivals it is compared with.",
        reads=("prepare", "teach", "supernet", "search"),
        sections=(*SEARCHING, "budget", "finetune"),
        code=CANDIDATES,
        trains=True,
        shared=True,
    ),
    Stage(
        "evaluate",
        "Measure original, found generator and rivals; write the report.",
        reads=("prepare", "teach", "search", "finetune"),
        sections=("name", "task", "method", "size", "seed", "compute", "budget", "evaluate", "export.opset"),
        code=(
            "cost",
            *READING,
            "data/bicubic.py",
            "device.py",
            "export/onnx.py",
            "export/rewriting",
            "export/turns.py",
            "export/formats.py",
            "metrics",
            "nets",
            "report",
            "stages/comparison.py",
            "stages/generators.py",
            "stages/report.py",
            "tasks",
        ),
        lent=False,
    ),
    Stage(
        "export",
        "Write the found generator as ONNX, and check its outputs.",
        reads=("prepare", "teach", "finetune", "evaluate"),
        sections=("name", "task", "method", "size", "seed", "data", "compute", "budget", "evaluate", "export"),
        code=(
            "cost/latency.py",
            *READING,
            "device.py",
            "export",
            "metrics",
            "nets",
            "report",
            "stages/comparison.py",
            "stages/exporting.py",
            "stages/editions.py",
            "stages/generators.py",
            "stages/variants.py",
            "tasks",
        ),
        lent=False,
    ),
)

STAGES = {stage.name: stage for stage in _STAGES}
"""The stages by name, in the order in which they run."""


def default_out(name: str) -> Path:
    """Return the default folder for a run of the recipe with this name."""
    return Path("runs") / name


def complete_report(run: Path) -> Path:
    """Return the HTML report of a run's folder: that of `export`, which shows the exported file, or `evaluate`'s."""
    exported = run / "export" / REPORT
    return exported if exported.is_file() else run / "evaluate" / REPORT


def measuring(teach: Stage) -> Stage:
    """Return the stage `teach` for a recipe whose `teach.patience` measures the original during training."""
    sections, code = (*teach.sections, "objective", "evaluate.features"), (*teach.code, "metrics")
    return replace(teach, sections=sections, code=code)


def up_to(until: str | None) -> list[Stage]:
    """Return the stages of a run, to its end or to the named one.

    Raises:
        RunError: there is no stage of that name.
    """
    if until is not None and until not in STAGES:
        raise RunError("--until must name a stage", repr(until), nearest(until, STAGES))
    stages = list(STAGES.values())
    return stages if until is None else stages[: stages.index(STAGES[until]) + 1]
