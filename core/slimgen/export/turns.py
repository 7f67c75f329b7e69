"""Latency of several generators side by side: exported in onnxruntime, and in PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

from torch import nn

from slimgen.cost.latency import Latency, Timed, latencies_in_turns, onnx_timed, torch_threads, torch_timed
from slimgen.errors import ExportError
from slimgen.export.formats import FP32, NUMBERS, to_time
from slimgen.export.onnx import export_fixed

NEEDED = ("onnxruntime", "onnx", "onnxscript")
"""Packages that must all be installed to export a generator and run it."""
Tell = Callable[[str, int, int], None]
"""Function of the current activity, the amount done, and the total."""


class Timing(NamedTuple):
    """The latency of one generator.

    Attributes:
        latency: of its exported form in onnxruntime, or in PyTorch if that is impossible.
        torch_latency: in PyTorch, on the device of its parameters.
        instead: the reason why `latency` is PyTorch's; empty if it is onnxruntime's.
    """

    latency: Latency
    torch_latency: Latency
    instead: str


def timings(
    networks: Mapping[str, tuple[str, nn.Module]],
    shape: Sequence[int],
    *,
    threads: int,
    runs: int,
    opset: int = 20,
    deploy: str = FP32,
    tell: Tell = lambda what, done, total: None,
) -> dict[str, Timing]:
    """Time generators in turns: first all in onnxruntime on the CPU, then all in PyTorch.

    Args:
        networks: name to a description of the architecture, and the network. Networks with equal descriptions differ
            only in their weights, and are exported once.
        shape: input shape, the batch first; the only one that they are exported for.
        threads: threads within an operator.
        runs: timed calls of each network in each runtime.
        opset: ONNX operator set to write.
        deploy: number format in onnxruntime, `fp32` or `int8`.
        tell: called with the progress.

    Raises:
        SlimgenError: there are no runs, or no threads.
    """
    made: dict[str, Timed | str] = {}
    for done, (source, net) in enumerate(networks.values(), start=1):
        if source not in made:
            made[source] = _exported(net, shape, threads, opset, deploy)
        tell("exported", done, len(networks))
    sessions = {name: one for name, (source, _) in networks.items() if isinstance(one := made[source], Timed)}
    exported = latencies_in_turns(sessions, threads=threads, runs=runs, progress=partial(tell, "latency"))
    with torch_threads(threads):
        plain = {name: torch_timed(net, shape, channels_last=True) for name, (_, net) in networks.items()}
        torch = latencies_in_turns(plain, threads=threads, runs=runs, progress=partial(tell, "latency in PyTorch"))
    return {
        name: Timing(exported.get(name, torch[name]), torch[name], one if isinstance(one := made[source], str) else "")
        for name, (source, _) in networks.items()
    }


def _exported(net: nn.Module, shape: Sequence[int], threads: int, opset: int, deploy: str) -> Timed | str:
    """Return a generator in onnxruntime, or the reason why there is none."""
    absent = next((name for name in NEEDED if find_spec(name) is None), None)
    if absent is not None:
        return f"{absent} is not installed"
    try:
        content = to_time(export_fixed(net, shape, opset), shape, deploy)
        return onnx_timed(content, shape, threads)._replace(variant=f"{NUMBERS[deploy]} nchw")
    except ExportError as error:
        return f"it is not exported: {error.got}"
