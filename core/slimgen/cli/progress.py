"""Progress of stages: one live line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from slimgen.report.words import seconds as duration
from slimgen.stages.table import STAGES

EVERY = 10.0  # seconds between plain lines
SHOWN = 3  # values beside the bar
SPLITS = {"train_images": "training", "val_images": "validation", "test_images": "test"}


class Count(MofNCompleteColumn):
    """Amount done and total; both unknown at first."""

    def render(self, task: Task) -> Text:
        """Return the column's text."""
        return Text("") if task.total is None else super().render(task)


class Display:
    """Progress of stages, in order, on stderr; nothing if quiet, or in processes after the first."""

    def __init__(self, stages: Sequence[str], quiet: bool = False, console: Console | None = None) -> None:
        self.waiting, self.quiet = list(stages), quiet
        self.whole = len(stages) > 1
        self._order = list(stages) if self.whole else list(STAGES)  # one alone is counted among all
        self.console = console or Console(file=sys.stderr, highlight=False)
        self.live = self.console.is_terminal and not quiet
        self._began: dict[tuple[str, str], tuple[float, int]] = {}
        self._last: dict[tuple[str, str], float] = {}
        self._progress = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=16),
            Count(),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[seen]}", style="dim", markup=False),
            console=self.console,
            transient=True,
            disable=not self.live,
        )
        self._begin(self._numbered(self._stage))

    @property
    def _stage(self) -> str:
        return self.waiting[0] if self.waiting else ""

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._progress.start()
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self._progress.stop()
        if self.whole and error is None:
            self.line(f"elapsed in total: {duration(time.monotonic() - self._started)}")

    def line(self, text: str) -> None:
        """Print a line; nothing if it is empty."""
        if text and not self.quiet:
            self.console.print(text, markup=False, soft_wrap=True)

    def tell(self, what: str, done: int, total: int, values: Mapping[str, float]) -> None:
        """Show the stage's activity, the amount done, and the latest values."""
        if self.quiet:
            return
        stage = self._numbered(self._stage)
        name = stage if what == self._stage else f"{stage} {what}".strip()
        seen = measured(values)
        if seen and self._stage == "search" and not any("." in key for key in values):  # scores, and no losses
            seen += ", best so far, without fine-tuning"
        if self.live:
            if self._progress.tasks[0].description != name:
                self._begin(name)
            self._progress.update(self._task, completed=done, total=total, seen=seen)
        else:
            self._plain(name, done, total, seen)

    def _numbered(self, stage: str) -> str:
        if stage not in self._order:
            return stage
        return f"stage {self._order.index(stage) + 1}/{len(self._order)} {stage}"

    def _begin(self, name: str) -> None:
        """Show one thing, from its start, in place of whatever was shown."""
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._task = self._progress.add_task(name, total=None, seen="")

    def _plain(self, name: str, done: int, total: int, seen: str) -> None:
        """Print a line, if the last one is old or this is the end."""
        now, key = time.monotonic(), (self._stage, name)
        since, first = self._began.setdefault(key, (now, done))
        if done < total and now - self._last.setdefault(key, now) < EVERY:
            return
        self._last[key] = now
        left = (now - since) / (done - first) * (total - done) if first < done < total else 0.0
        rest = f"  {duration(now - since)} elapsed, {duration(left)} left" if left else ""
        self.line(f"{name} {done}/{total}{rest}  {seen}".rstrip())

    def on_stage(self, name: str, metrics: Mapping[str, float], seconds: float, skipped: bool) -> None:
        """Say that a stage is done, and turn to the next."""
        if name in self.waiting:
            del self.waiting[: self.waiting.index(name) + 1]
        if self.quiet:
            return
        said = "already done" if skipped else duration(seconds)
        counts = [f"{metrics[key]:.0f} {word}" for key, word in SPLITS.items() if key in metrics]
        images = f", {', '.join(counts)} images" if counts else ""
        self.console.print(f"[green]✓[/green] {name:<9} {said}{images}", soft_wrap=True)
        self._begin(self._numbered(self._stage))


def measured(values: Mapping[str, float]) -> str:
    """Return the first values with whose they are: `generator recon 3.677, adversarial 0.029; discriminator 0.98`."""
    owned = [(*key.rpartition(".")[::2], value) for key, value in list(values.items())[:SHOWN]]
    return "; ".join(_of(owner, list(rows)) for owner, rows in groupby(owned, key=lambda row: row[0]))


def _of(owner: str, rows: Sequence[tuple[str, str, float]]) -> str:
    def words() -> Iterator[str]:
        for _, term, value in rows:
            name = "" if owner and term == "loss" else f"{term} "
            yield f"{name}{value:.4g}"

    return f"{owner.replace('_', ' ')} {', '.join(words())}".strip()
