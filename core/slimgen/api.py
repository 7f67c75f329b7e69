"""Runs as objects: `run` computes one or goes on with it, and `Run` reads what a folder of stages holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from slimgen import files
from slimgen.errors import RunError
from slimgen.recipe import Recipe, load
from slimgen.search import Genotype, Trial
from slimgen.stages.table import complete_report, default_out

if TYPE_CHECKING:
    from torch import nn

    from slimgen.report.table import Table
    from slimgen.run.record import Record
    from slimgen.stages.work import Progress

Path_ = str | Path
Settings = Mapping[str, object] | Sequence[str]
"""Values of a recipe that are replaced: `{"search.evaluations": 96}` or `["search.evaluations=96"]`."""


def run(
    recipe: Recipe | Path_,
    *,
    data: Path_ | None = None,
    out: Path_ | None = None,
    set: Settings = (),  # noqa: A002 - as the command line's --set
    quick: bool = False,
    name: str | None = None,
    until: str | None = None,
    progress: "Progress | None" = None,
) -> "Run":
    """Run every stage of a recipe, as `slimgen run` does; the same call again goes on where it stopped.

        import slimgen

        done = slimgen.run("pairs-cf_gan", data="my-images", out="runs/mine", set={"budget.macs": "1/16"})
        print(done.metrics["found.psnr"], done.genotype, done.onnx)

    Args:
        recipe: the name of a preset, a YAML file, `FILE#key`, or a `Recipe`.
        data: the folder or archive of images; by default the folder `data`, or the set that the recipe draws itself.
        out: the run's folder; `runs/RECIPE` by default.
        set: values of the recipe to replace, by dotted key.
        quick: run a trial of about a minute instead, into `runs/RECIPE-quick` by default; its figures say nothing.
        name: what the run is shown as in report, card and MLflow, and what its model is registered as; the name of its
            folder by default. No result depends on it.
        until: the last stage to run; all of them by default.
        progress: called with what is under way, how much of it is done, of how much, and what was measured last; lines
            on stderr by default.

    Raises:
        SlimgenError: the recipe, the images or an argument is wrong; what was computed until then stays.
    """
    from slimgen import stages

    chosen = recipe if isinstance(recipe, Recipe) else load(str(recipe))
    chosen = chosen.replaced(set) if isinstance(set, Mapping) else chosen.override(list(set)) if set else chosen
    if quick:
        from slimgen.stages.quick import quick as trial

        chosen = trial(chosen)
    folder = default_out(chosen.name) if out is None else Path(out)
    images = None if data is None else Path(data)
    stages.run(chosen, data=images, out=folder, until=until, name=name, progress=progress)
    return Run(folder)


def open_run(folder: Path_) -> "Run":
    """Open the folder of a run that is finished, or under way.

        done = slimgen.open_run("runs/townhouses-cf_gan")
        images = done.generator()(torch.zeros(1, 3, 64, 64))

    Raises:
        RunError: no stage has written there.
    """
    opened = Run(Path(folder))
    if not opened.stages:
        hint = "name the folder of a run, such as runs/townhouses-cf_gan"
        raise RunError("a run's folder must hold a finished stage", f"none in {folder}", hint)
    return opened


@dataclass(frozen=True)
class Run:
    """The folder of a run: what its stages left there, read when it is asked for.

    Whatever a stage wrote that has not finished yet raises a RunError that names the stage.

    Attributes:
        folder: it holds a folder for each stage.
    """

    folder: Path

    @property
    def name(self) -> str:
        """What the run is shown as."""
        from slimgen.run.record import name_of

        return next((name_of(self.folder / stage) for stage in reversed(self.stages)), self.folder.resolve().name)

    @property
    def stages(self) -> dict[str, Mapping[str, object]]:
        """What each finished stage measured, in the order in which they ran."""
        from slimgen.run.record import read_record
        from slimgen.stages.table import STAGES

        records = {stage: read_record(self.folder / stage) for stage in STAGES}
        return {stage: record["metrics"] for stage, record in records.items() if record.get("finished")}

    @property
    def recipe(self) -> Recipe:
        """The recipe of the last stage that finished."""
        if not self.stages:
            raise self._missing("prepare")
        return Recipe.parse(self._record(list(self.stages)[-1])["recipe"])

    @property
    def metrics(self) -> dict[str, float]:
        """Quality, cost, effort and latency of every generator, by names such as `found.psnr` and `original.macs`."""
        found = json.loads(self._file("evaluate", files.METRICS).read_bytes())
        return {str(name): float(value) for name, value in found.items() if isinstance(value, int | float)}

    @property
    def table(self) -> "Table":
        """The before/after table; `_repr_markdown_` shows it in a notebook."""
        from slimgen.report.table import read_table

        return read_table(self._file("evaluate", files.TABLE))

    @property
    def genotype(self) -> Genotype:
        """The architecture that the search found."""
        return Genotype.from_json(json.loads(self._file("search", files.GENOTYPE).read_bytes())["genotype"])

    @cached_property
    def trials(self) -> list[Trial]:
        """Every candidate that the search measured, in order."""
        lines = self._file("search", files.TRIALS).read_text(encoding="utf-8").splitlines()
        return [Trial.from_json({"seconds": 0.0, **json.loads(line)}) for line in lines]

    @property
    def generators(self) -> list[str]:
        """The names of the generators that can be built: `original`, `found`, rivals."""
        return list(self._described())

    def generator(self, name: str | None = None) -> "nn.Module":
        """Build a generator with its trained weights, in evaluation mode, on the CPU.

        It takes and returns float32 (N, channels, height, width) in [-1, 1]; of noise, it takes (N, latent).

        Args:
            name: one of `generators`; the one that was found by default.

        Raises:
            RunError: no generator of that name, or it is not trained yet.
        """
        from slimgen.errors import nearest
        from slimgen.stages.generators import built, finished, is_original

        known = self._described()
        chosen = name or finished(known) or "found"
        if chosen not in known:
            raise RunError(f"the generator must be one of {self.folder}", repr(name), nearest(chosen, known))
        about = known[chosen]
        stage = "teach" if is_original(chosen) else "finetune"
        return built(about, self._file(stage, str(about["file"])))

    @property
    def onnx(self) -> Path:
        """The exported file."""
        return self._file("export", files.ONNX)

    @property
    def card(self) -> Path:
        """The card of the exported file."""
        return self._file("export", files.CARD)

    @property
    def report(self) -> Path:
        """The HTML report, which stands alone; with what was exported, once that is done."""
        return self._file(complete_report(self.folder).parent.name, files.REPORT)

    def _repr_markdown_(self) -> str:
        """The table, as notebooks show it."""
        from slimgen.report.table import markdown_table

        if "evaluate" not in self.stages:
            return f"{self.name}: {', '.join(self.stages) or 'nothing'} finished"
        table = self.table
        return f"**{self.name}**\n\n{markdown_table(table.rows, table.convention, table.notes)}"

    def _described(self) -> dict[str, dict[str, object]]:
        from slimgen.stages.generators import described

        self._record("finetune")
        return described(self.recipe, self.folder / "finetune", self.folder / "teach")

    def _file(self, stage: str, name: str) -> Path:
        self._record(stage)
        path = self.folder / stage / name
        if not path.is_file():
            raise RunError(f"{stage} of {self.folder} must have written {name}", "no such file", "run it again")
        return path

    def _record(self, stage: str) -> "Record":
        from slimgen.run.record import read_record

        record = read_record(self.folder / stage)
        if not record.get("finished"):
            raise self._missing(stage)
        return record

    def _missing(self, stage: str) -> RunError:
        return RunError(
            f"{stage} of {self.folder} must be finished", hint="run the recipe again: it goes on from there"
        )
