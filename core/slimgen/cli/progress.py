"""What is shown while stages work: one live line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from slimgen.report.words import seconds as duration

EVERY = 10.0  # seconds between plain lines
SHOWN = 3  # values beside the bar


class Display:
    """The progress of stages, in order, on stderr; if quiet, as are the processes that follow the first, none."""

    def __init__(self, stages: Sequence[str], quiet: bool = False, console: Console | None = None) -> None:
        self.waiting, self.quiet = list(stages), quiet
        self.console = console or Console(file=sys.stderr, highlight=False)
        self.live = self.console.is_terminal and not quiet
        self._began: dict[tuple[str, str], tuple[float, int]] = {}
        self._last: dict[tuple[str, str], float] = {}
        self._progress = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[seen]}", style="dim", markup=False),
            console=self.console,
            transient=True,
            disable=not self.live,
        )
        self._begin(self._stage)

    @property
    def _stage(self) -> str:
        return self.waiting[0] if self.waiting else ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, what: str, done: int, total: int, values: Mapping[str, float]) -> None:
        """What the stage is at, how much of it is done, and what was measured last."""
        if self.quiet:
            return
        name = self._stage if what == self._stage else f"{self._stage} {what}".strip()
        seen = "  ".join(f"{key.rpartition('.')[2]} {value:.4g}" for key, value in list(values.items())[:SHOWN])
        if self.live:
            if self._progress.tasks[0].description != name:
                self._begin(name)
            self._progress.update(self._task, completed=done, total=total, seen=seen)
        else:
            self._line(name, done, total, seen)

    def _begin(self, name: str) -> None:
        """Shows one thing, from its start, in place of whatever was shown."""
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._task = self._progress.add_task(name, total=None, seen="")

    def _line(self, name: str, done: int, total: int, seen: str) -> None:
        """One plain line, if the last is old or this is the end."""
        now, key = time.monotonic(), (self._stage, name)
        since, first = self._began.setdefault(key, (now, done))
        if done < total and now - self._last.setdefault(key, now) < EVERY:
            return
        self._last[key] = now
        left = (now - since) / (done - first) * (total - done) if first < done < total else 0.0
        rest = f"  {duration(left)} left" if left else ""
        self.console.print(f"{name} {done}/{total}{rest}  {seen}".rstrip(), markup=False, soft_wrap=True)

    def on_stage(self, name: str, metrics: Mapping[str, float], seconds: float, skipped: bool) -> None:
        """Says that a stage is done, and turns to the next."""
        if name in self.waiting:
            del self.waiting[: self.waiting.index(name) + 1]
        if self.quiet:
            return
        said = "already done" if skipped else duration(seconds)
        self.console.print(f"[green]✓[/green] {name:<9} {said}", soft_wrap=True)
        self._begin(self._stage)
