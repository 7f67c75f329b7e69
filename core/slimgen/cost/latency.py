"""Latency of a network on this machine, measured, since fewer operations are not always faster."""

import copy
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slimgen.errors import ExportError, SlimgenError, reason

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ROUNDS = 10
"""Rounds in which networks are timed in turns; fewer where there are fewer calls, but at least two."""
_SEED = 0  # inputs are random, since zeros may be faster than pictures


class Latency(NamedTuple):
    """The time of one call, with the conditions of the measurement.

    Attributes:
        runtime: name, version and device of the runtime, such as `torch 2.13.0 cpu`.
        variant: number format and memory layout, such as `float32 nchw`.
        threads: threads within an operator.
        batch: images per call.
        height: height of the output picture, px.
        width: width of the output picture, px.
        warmup: untimed calls before the timed ones; in each turn, where networks took turns.
        runs: timed calls.
        p50_ms: median time of a call.
        p95_ms: 95th percentile of the time of a call.
        first_half_ms: median over the first half of the rounds; None where networks took no turns.
        second_half_ms: the same over the second half. The further the two are apart, the busier the machine was.
    """

    runtime: str
    variant: str
    threads: int
    batch: int
    height: int
    width: int
    warmup: int
    runs: int
    p50_ms: float
    p95_ms: float
    first_half_ms: float | None = None
    second_half_ms: float | None = None


class Timed(NamedTuple):
    """A network ready to be timed: the call, its runtime and variant, and the output's shape (N, C, H, W)."""

    call: Callable[[], object]
    runtime: str
    variant: str
    picture: tuple[int, ...]


def torch_latency(
    net: nn.Module,
    shape: Sequence[int],
    *,
    threads: int,
    warmup: int = 3,
    runs: int = 20,
    channels_last: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Latency:
    """Time a network in PyTorch, in evaluation mode and without gradients, on the device of its parameters.

    The network itself stays unchanged: a copy is converted and run. The number of threads is restored afterwards.

    Args:
        net: a network that takes one tensor and returns pictures (N, C, H, W).
        shape: the shape of the input, batch first.
        threads: threads within an operator, on a CPU.
        warmup: untimed calls before the timed ones.
        runs: timed calls.
        channels_last: whether images are laid out as NHWC in memory.
        dtype: the type of weights and input.

    Raises:
        SlimgenError: fewer than one run or thread.
    """
    _check(threads, warmup, runs)
    with torch_threads(threads):
        timed = torch_timed(net, shape, channels_last=channels_last, dtype=dtype)
        times = time_calls(timed.call, warmup, runs)
    return _latency(timed, threads, warmup, [times])


def torch_timed(
    net: nn.Module, shape: Sequence[int], *, channels_last: bool = False, dtype: torch.dtype = torch.float32
) -> Timed:
    """Prepare a network for timing as `torch_latency` does, and call it once; use it inside `torch_threads`."""
    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    twin = copy.deepcopy(net).eval().to(dtype=dtype)
    for parameter in twin.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    drawn = torch.rand(tuple(shape), generator=torch.Generator().manual_seed(_SEED)) * 2 - 1
    given = drawn.to(device, dtype)
    given = given.to(memory_format=layout) if given.dim() == 4 else given

    def call() -> Tensor:
        out: Tensor = twin(given)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # a GPU call returns before the work is done
        return out

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    variant = f"{str(dtype).removeprefix('torch.')} {'nhwc' if channels_last else 'nchw'}"
    return Timed(call, f"torch {torch.__version__.split('+')[0]} {name}", variant, tuple(call().shape))


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run PyTorch without gradients and with this many threads within an operator; restore the number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def onnx_latency(path: Path | str, shape: Sequence[int], *, threads: int, warmup: int = 3, runs: int = 20) -> Latency:
    """Time an exported model in onnxruntime on the CPU, as `torch_latency` does a network.

    The model takes one float32 tensor, and its first output is pictures (N, C, H, W). Operators run one after the
    other.

    Raises:
        ExportError: onnxruntime cannot load the model, or cannot run it on this input.
        SlimgenError: fewer than one run or thread.
    """
    _check(threads, warmup, runs)
    timed = onnx_timed(path, shape, threads)
    return _latency(timed, threads, warmup, [time_calls(timed.call, warmup, runs)])


def onnx_timed(model: bytes | Path | str, shape: Sequence[int], threads: int) -> Timed:
    """Prepare a serialised model, or a model file, for timing as `onnx_latency` does, and call it once.

    Raises:
        ExportError: onnxruntime cannot load the model, or cannot run it on this input.
    """
    import onnxruntime

    try:
        call = onnx_call(onnx_session(model, threads), shape)
        picture = call()
    except Exception as error:  # its errors have no public base class
        rule, hint = "onnxruntime cannot run the model", "export it again"
        name = "" if isinstance(model, bytes) else f"{Path(model).name}: "
        raise ExportError(rule, f"{name}{reason(error)}", hint) from error
    return Timed(call, f"onnxruntime {onnxruntime.__version__} cpu", "float32 nchw", picture.shape)


def clock_of(threads: int, *, on_cpu: bool = True) -> Callable[[], float]:
    """Return the clock that times calls: for one thread on the CPU, its own processor time; else wall-clock time.

    Processor time stands still while other processes have the core; on an idle machine both are the same. By the wall
    clock of a busy machine, long calls would seem slower than short ones, which fit between two turns of the others.
    """
    # Windows counts a thread's time in steps of 16 ms.
    alone = threads == 1 and on_cpu and os.name == "posix"
    return time.thread_time if alone else time.perf_counter


def latencies_in_turns(
    timed: Mapping[str, Timed], *, threads: int, runs: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, Latency]:
    """Time several networks, by name, in turns, so that a busy period of the machine slows all of them alike.

    In each of `ROUNDS` rounds every network is called once to warm its caches, then timed with `clock_of` for its share
    of the runs, rounded up; the median counts. `progress` is called with the number of turns done and their total.

    Raises:
        SlimgenError: fewer than one run or thread.
    """
    _check(threads, 1, runs)
    rounds = max(2, min(runs, ROUNDS))
    times: dict[str, list[list[float]]] = {name: [] for name in timed}
    for number in range(rounds):
        for place, (name, one) in enumerate(timed.items(), start=1):
            clock = clock_of(threads, on_cpu=one.runtime.endswith(" cpu"))
            times[name].append(time_calls(one.call, 1, -(-runs // rounds), clock))
            if progress is not None:
                progress(number * len(timed) + place, rounds * len(timed))
    return {name: _latency(one, threads, 1, times[name]) for name, one in timed.items()}


def _check(threads: int, warmup: int, runs: int) -> None:
    if threads < 1 or runs < 1 or warmup < 0:
        rule = "a latency needs at least one thread and one run, and a warm-up of 0 or more"
        raise SlimgenError(rule, f"{threads=}, {warmup=}, {runs=}")


def onnx_session(model: bytes | Path | str, threads: int = 0, profile: Path | None = None) -> "InferenceSession":
    """Load a serialised model, or a model file, in onnxruntime on the CPU, with logging off.

    Operators run one after the other, each with this many threads; 0 means one per core. `end_profiling` writes a
    profile to a file whose name begins with the path `profile`, if given.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    content = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def onnx_call(session: "InferenceSession", shape: Sequence[int]) -> Callable[[], NDArray[np.float32]]:
    """Return a function that runs a session on one random input of this shape and returns its first output."""
    given = np.random.default_rng(_SEED).uniform(-1, 1, tuple(shape)).astype(np.float32)
    feed = {session.get_inputs()[0].name: given}
    return lambda: session.run(None, feed)[0]


def time_calls(
    call: Callable[[], object], warmup: int, runs: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the milliseconds of each of `runs` calls after `warmup` untimed ones; `clock` counts seconds."""
    for _ in range(warmup):
        call()
    times = []
    for _ in range(runs):
        start = clock()
        call()
        times.append(1000 * (clock() - start))
    return times


def _latency(timed: Timed, threads: int, warmup: int, rounds: Sequence[Sequence[float]]) -> Latency:
    """Return the latency from the milliseconds of one or several rounds."""
    picture, times, middle = timed.picture, np.concatenate(rounds), len(rounds) // 2
    height, width = (picture[-2], picture[-1]) if len(picture) == 4 else (0, 0)
    p50, p95 = (round(float(value), 4) for value in np.percentile(times, (50, 95)))
    halves = [round(float(np.median(np.concatenate(half))), 4) for half in (rounds[:middle], rounds[middle:]) if middle]
    about = (timed.runtime, timed.variant, threads, picture[0], height, width, warmup, len(times))
    return Latency(*about, p50, p95, *halves)
