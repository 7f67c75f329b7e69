"""Timing of graphs in onnxruntime on a busy machine: in rounds, each of which is kept."""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy

from slimgen.cost.latency import clock_of, onnx_call, onnx_session, time_calls
from slimgen.errors import ExportError, SlimgenError, reason
from slimgen.files import read_json, write_json

WARMUP = 2  # the first call allocates, the second finds its memory
VISIT = 4  # timed calls of a session before the next graph's turn


class Clock:
    """Timer of graphs in onnxruntime on the CPU, with operators run one after the other.

    Disturbances on a shared machine only add time, and come and go over seconds. So graphs take turns, in many short
    visits (the caller orders them in rounds, so that a slow spell affects all graphs). The lower quartile counts, over
    the calls of a visit and over the visits of a graph: it lies below the disturbed values, and unlike a minimum it
    does not fall with the number of measurements.

    With one thread within an operator, the clock is that thread's processor time, which stops while other processes
    have the core: on a busy machine it reads as on an idle one. With several threads, whose processor time includes
    their waiting for each other, the clock is wall time, and the minimum counts: among many calls, at least one found
    all cores free.

    Raises:
        SlimgenError: `threads` is below 1.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise SlimgenError("threads must be at least 1", threads)
        self.threads = threads
        self._now = clock_of(threads)
        alone = self._now is time.thread_time
        self.name = "thread" if alone else "wall"
        self._level = 0.25 if alone else 0.0

    def visit(self, graph: bytes, shape: Sequence[int]) -> float:
        """Measure a call of a serialised ONNX model on one float32 input of this shape, in milliseconds.

        Each visit creates and warms up a new session, so that no placement in memory counts twice.

        Raises:
            ExportError: onnxruntime cannot load the graph, or cannot run it on this input.
        """
        try:
            call = onnx_call(onnx_session(graph, self.threads), shape)
            times = time_calls(call, WARMUP, VISIT, self._now)
        except Exception as error:  # onnxruntime's errors have no public base class
            raise ExportError(f"onnxruntime must run the graph on an input of {tuple(shape)}", reason(error)) from error
        return self.settle(times)

    def settle(self, times: Sequence[float]) -> float:
        """Return one number for several measurements of the same quantity."""
        return float(numpy.quantile(times, self._level))


class Visits:
    """Milliseconds of each visit to each of many graphs, in a JSON file written aside and renamed.

    Visits in the file under the same conditions are kept; a damaged file, or one of other conditions, is replaced. File
    and folder are created with the first measurement.

    Args:
        path: the file.
        conditions: everything that the times depend on, as plain values.
        free: conditions that may differ in a file that was finished (saved with a summary); it keeps its own.
    """

    def __init__(self, path: Path, conditions: Mapping[str, object], free: Collection[str] = ()) -> None:
        self.path, self.conditions = path, dict(conditions)
        self._visits: dict[str, list[float]] = {}
        self._summary: Mapping[str, object] = {}
        self._saved = time.monotonic()
        held = read_json(path)
        if not isinstance(held, dict) or not self._suits(held, free):
            return
        self.conditions = dict(held.pop("conditions"))
        visits = held.pop("visits", None)
        self._summary = held
        for name, times in visits.items() if isinstance(visits, dict) else ():
            if isinstance(times, list) and all(_is_time(value) for value in times):
                self._visits[name] = [float(value) for value in times]

    def _suits(self, held: Mapping[str, object], free: Collection[str]) -> bool:
        found = held.get("conditions")
        if not isinstance(found, dict) or found.keys() != self.conditions.keys():
            return False
        different = {name for name, value in self.conditions.items() if found[name] != value}
        return not different or (different <= set(free) and held.keys() > {"conditions", "visits"})

    def __getitem__(self, name: str) -> list[float]:
        """Return the visits to a graph so far."""
        return list(self._visits.get(name, ()))

    @property
    def summary(self) -> Mapping[str, object]:
        """The last summary of all measurements; empty before there is one."""
        return self._summary

    def take(
        self, visits: Mapping[str, Callable[[], float]], rounds: int, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Visit every graph, by name, once per round, so that a slow spell of the machine affects all of them.

        Visits of an earlier call are not repeated. `progress` is called with the visits done and the total.

        Raises:
            RunError: the file cannot be written.
        """
        done, total, news = 0, rounds * len(visits), False
        try:
            for number in range(rounds):
                for name, visit in visits.items():
                    if len(self._visits.get(name, ())) <= number:
                        self._visits.setdefault(name, []).append(visit())
                        news = True
                        if time.monotonic() - self._saved > 5:
                            self.save()
                    done += 1
                    if progress is not None:
                        progress(done, total)
        finally:
            if news:
                self.save()

    def save(self, summary: Mapping[str, object] | None = None) -> None:
        """Write the file with a summary of all measurements; None keeps the last summary."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._summary = self._summary if summary is None else summary
        write_json(self.path, {**self._summary, "conditions": self.conditions, "visits": self._visits})
        self._saved = time.monotonic()


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
