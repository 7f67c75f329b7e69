"""How long a network takes on this machine: measured, since fewer operations are not always less time."""

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
"""Rounds in which networks are timed in turns; fewer where there are fewer calls, but two."""
_SEED = 0  # inputs are drawn, as zeros may be faster than pictures are


class Latency(NamedTuple):
    """The time of one call, with all that it depends on.

    Attributes:
        runtime: name, version and device of what ran it, such as `torch 2.13.0 cpu`.
        variant: number format and memory layout, such as `float32 nchw`.
        threads: within an operator.
        batch: images per call.
        height: of the picture that comes out, px.
        width: likewise.
        warmup: calls made before the clock was read; of each visit, where networks took turns.
        runs: calls that were timed.
        p50_ms: median time of a call.
        p95_ms: time that 95 % of the calls stay within.
        first_half_ms: median of the first half of the rounds; None where networks took no turns.
        second_half_ms: likewise of the others. The further they are apart, the busier was the machine.
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
    """What is timed: a call that returns pictures of a shape (N, C, H, W), in what, and in which variant."""

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
    """Times a network in PyTorch, in evaluation and without gradients, on the device where its parameters are.

    The network itself is left alone: a copy is converted and run. The number of threads is set back afterwards.

    Args:
        net: takes one tensor and returns pictures (N, C, H, W).
        shape: of the input, the batch first.
        threads: within an operator, on a CPU.
        warmup: calls before the clock is read.
        runs: calls that are timed.
        channels_last: whether images are laid out as NHWC in memory.
        dtype: of weights and input.

    Raises:
        SlimgenError: there are no runs, or no threads.
    """
    _check(threads, warmup, runs)
    with torch_threads(threads):
        timed = torch_timed(net, shape, channels_last=channels_last, dtype=dtype)
        times = time_calls(timed.call, warmup, runs)
    return _latency(timed, threads, warmup, [times])


def torch_timed(
    net: nn.Module, shape: Sequence[int], *, channels_last: bool = False, dtype: torch.dtype = torch.float32
) -> Timed:
    """A network in PyTorch, called once, as `torch_latency` times it; to be called inside `torch_threads`."""
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
            torch.cuda.synchronize(device)  # a GPU returns before it is done
        return out

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    variant = f"{str(dtype).removeprefix('torch.')} {'nhwc' if channels_last else 'nchw'}"
    return Timed(call, f"torch {torch.__version__.split('+')[0]} {name}", variant, tuple(call().shape))


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch without gradients, with so many threads within an operator, which are set back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def onnx_latency(path: Path | str, shape: Sequence[int], *, threads: int, warmup: int = 3, runs: int = 20) -> Latency:
    """Times an exported model in onnxruntime on the CPU, as `torch_latency` does a network.

    It takes one float32 tensor and returns pictures (N, C, H, W) first. Operators run one after the other.

    Raises:
        ExportError: onnxruntime cannot load the model, or not run it on such an input.
        SlimgenError: there are no runs, or no threads.
    """
    _check(threads, warmup, runs)
    timed = onnx_timed(path, shape, threads)
    return _latency(timed, threads, warmup, [time_calls(timed.call, warmup, runs)])


def onnx_timed(model: bytes | Path | str, shape: Sequence[int], threads: int) -> Timed:
    """A serialised model, or the file of one, in onnxruntime, called once, as `onnx_latency` times it.

    Raises:
        ExportError: onnxruntime cannot load the model, or not run it on such an input.
    """
    import onnxruntime

    try:
        call = onnx_call(onnx_session(model, threads), shape)
        picture = call()
    except Exception as error:  # its errors have no public base class
        rule, hint = "onnxruntime must run the model", "export it again"
        name = "" if isinstance(model, bytes) else f"{Path(model).name}: "
        raise ExportError(rule, f"{name}{reason(error)}", hint) from error
    return Timed(call, f"onnxruntime {onnxruntime.__version__} cpu", "float32 nchw", picture.shape)


def clock_of(threads: int, *, on_cpu: bool = True) -> Callable[[], float]:
    """What times calls: of one thread on the CPU its own processor time, which stands still while others have the core.

    On an idle machine it is the time that passes. On a busy one, long calls would seem slower than short ones, which
    fit between two turns of the others.
    """
    # Windows counts a thread's time in steps of 16 ms.
    alone = threads == 1 and on_cpu and os.name == "posix"
    return time.thread_time if alone else time.perf_counter


def latencies_in_turns(
    timed: Mapping[str, Timed], *, threads: int, runs: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, Latency]:
    """Times several, by name, in turns: what slows the machine for a while then slows all alike.

    In each of `ROUNDS` rounds every one is called once to find its memory again, then timed for its share of the runs,
    rounded up, by `clock_of`; the median counts. `progress` is called with the visits done and all visits.

    Raises:
        SlimgenError: there are no runs, or no threads.
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
        rule = "a latency needs at least one thread and one run, and no negative warm-up"
        raise SlimgenError(rule, f"{threads=}, {warmup=}, {runs=}")


def onnx_session(model: bytes | Path | str, threads: int = 0, profile: Path | None = None) -> "InferenceSession":
    """A serialised model, or the file of one, in onnxruntime on the CPU, without log.

    Operators run one after the other, each in so many threads; 0 stands for as many as there are cores. A profile is
    written when `end_profiling` is called, to a file whose name begins with this path.
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
    """What runs a session once, on one drawn input of this shape, and returns its first output."""
    given = np.random.default_rng(_SEED).uniform(-1, 1, tuple(shape)).astype(np.float32)
    feed = {session.get_inputs()[0].name: given}
    return lambda: session.run(None, feed)[0]


def time_calls(
    call: Callable[[], object], warmup: int, runs: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Milliseconds of each of so many calls, after the first ones were made to warm up; `clock` counts seconds."""
    for _ in range(warmup):
        call()
    times = []
    for _ in range(runs):
        start = clock()
        call()
        times.append(1000 * (clock() - start))
    return times


def _latency(timed: Timed, threads: int, warmup: int, rounds: Sequence[Sequence[float]]) -> Latency:
    """What the milliseconds of one or several rounds come to."""
    picture, times, middle = timed.picture, np.concatenate(rounds), len(rounds) // 2
    height, width = (picture[-2], picture[-1]) if len(picture) == 4 else (0, 0)
    p50, p95 = (round(float(value), 4) for value in np.percentile(times, (50, 95)))
    halves = [round(float(np.median(np.concatenate(half))), 4) for half in (rounds[:middle], rounds[middle:]) if middle]
    about = (timed.runtime, timed.variant, threads, picture[0], height, width, warmup, len(times))
    return Latency(*about, p50, p95, *halves)
