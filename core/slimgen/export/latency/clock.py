"""Reading the time of graphs in onnxruntime on a machine that has other things to do."""

import os
import time
from collections.abc import Callable, Sequence

import numpy

from slimgen.cost.latency import onnx_call, onnx_session, time_calls
from slimgen.errors import ExportError, SlimgenError, reason

WARMUP = 2  # the first call allocates, the second finds its memory
VISIT = 4  # timed calls of a session, before it is the next graph's turn


class Clock:
    """Times graphs in onnxruntime on the CPU, one operator after the other.

    What disturbs a measurement on a shared machine only ever adds time, and comes and goes over seconds. So graphs
    take turns (many short visits in rounds, which is the caller's part: a slow spell then hits all alike), and of the
    calls of a visit, and of the visits of a graph, the lower quartile counts: below the disturbed ones, and yet no
    minimum, which is lower the more often one looks.

    With one thread the clock is the processor time of the thread itself, which stands still while others have the
    core: on an idle machine it is the time that passes, on a busy one what would have passed. With several threads,
    whose processor time includes their waiting for each other, it is the time that passes, and the minimum counts: of
    many calls, at least one found all cores free.

    Args:
        threads: threads within an operator.

    Raises:
        SlimgenError: fewer than one thread.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise SlimgenError("a latency needs at least one thread", f"{threads=}")
        self.threads = threads
        # Windows counts a thread's time in steps of 16 ms.
        alone = threads == 1 and os.name == "posix"
        self.name = "thread" if alone else "wall"
        self._now: Callable[[], float] = time.thread_time if alone else time.perf_counter
        self._level = 0.25 if alone else 0.0

    def visit(self, graph: bytes, shape: Sequence[int]) -> float:
        """Milliseconds of a call: a session made anew (so that no placement in memory counts twice), warmed up, timed.

        Args:
            graph: a serialised ONNX model with one float32 input.
            shape: of its input.

        Raises:
            ExportError: onnxruntime cannot load the graph, or not run it on such an input.
        """
        try:
            call = onnx_call(onnx_session(graph, self.threads), shape)
            times = time_calls(call, WARMUP, VISIT, self._now)
        except Exception as error:  # its errors have no public base class
            raise ExportError(f"onnxruntime runs the graph on {tuple(shape)}", reason(error)) from error
        return self.settle(times)

    def settle(self, times: Sequence[float]) -> float:
        """One number for several measurements of the same."""
        return float(numpy.quantile(times, self._level))
