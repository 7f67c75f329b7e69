"""Device, number type and memory layout of tensors, chosen once and logged."""

import contextlib
import ctypes
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, overload

import torch
from torch import Tensor, nn

from slimgen.errors import RecipeError

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class Compute:
    """A device with the number type and layout in which its convolutions run fastest.

    Weights, optimizer states and losses stay in float32; `autocast` lowers only the convolutions to `dtype`, float32 or
    bfloat16. With `channels_last`, modules and images lie in memory as NHWC.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    channels_last: bool = True

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context for forward passes."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @overload
    def place(self, value: Tensor) -> Tensor: ...
    @overload
    def place(self, value: ModuleT) -> ModuleT: ...
    def place(self, value: Tensor | nn.Module) -> Tensor | nn.Module:
        """Move a module, or a tensor of images (N, C, H, W), to this device and layout."""
        wide = isinstance(value, nn.Module) or value.dim() == 4
        if self.channels_last and wide:
            return value.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return value.to(self.device)

    def ready(self, net: ModuleT) -> ModuleT:
        """Place a network for inference: in evaluation mode, with its convolutions converted to `dtype` once.

        Autocast would convert them at every call, with the same output.
        """
        net = self.place(net).eval()
        if self.dtype != torch.float32:
            for module in net.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    module.to(self.dtype)
        return net

    def __str__(self) -> str:
        """For logs: `cpu bf16 channels_last 2 threads`."""
        kind = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        layout = "channels_last" if self.channels_last else "contiguous"
        where = f"{torch.get_num_threads()} threads" if self.device.type == "cpu" else torch.cuda.get_device_name()
        return f"{self.device.type} {kind} {layout} {where}"


def choose(precision: str = "auto", device: str = "auto", threads: int | None = None) -> Compute:
    """Choose device, number type and layout.

    Args:
        precision: `fp32`, `bf16`, or `auto`: bf16 where the processor multiplies it in hardware (AMX, AVX-512 BF16,
            or a GPU from Ampere on), else fp32.
        device: `cpu`, `cuda`, or `auto`: a GPU if there is one.
        threads: CPU threads. None takes the cores that this process may use, or torch's own number if it is lower.

    Raises:
        RecipeError: an unknown precision, or `cuda` on a machine without a GPU.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise RecipeError("compute.precision must be auto, fp32 or bf16", repr(precision))
    require_device(device)
    kind = "cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu")
    torch.set_num_threads(min(torch.get_num_threads(), cores()) if threads is None else threads)
    if kind == "cuda":
        # One device per process: torchrun numbers the processes of a node.
        index = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(index)
        torch.backends.cudnn.benchmark = True
        where = torch.device("cuda", index)
    else:
        where = torch.device("cpu")
        keep_memory()
    low = precision == "bf16" or (precision == "auto" and multiplies_bfloat16(where))
    return Compute(where, torch.bfloat16 if low else torch.float32)


def require_device(device: str) -> None:
    """Raise RecipeError if a recipe asks for a GPU where there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("compute.device 'cuda' needs a GPU", "none on this machine", "set it to auto or cpu")


def cores(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of processor cores that this process may use, by its affinity and its container's quota.

    PyTorch counts the cores of the host, and two threads that share one core are many times slower than one.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = (root / "cpu.max").read_text().split()  # cgroup v2: `max`, or microseconds in a period
        usable = min(usable, max(1, int(quota) // int(period)))
    with contextlib.suppress(OSError, ValueError):
        microseconds = int((root / "cpu" / "cpu.cfs_quota_us").read_text())  # cgroup v1: -1 is no limit
        if microseconds > 0:
            usable = min(usable, max(1, microseconds // int((root / "cpu" / "cpu.cfs_period_us").read_text())))
    return usable


def available_memory(gpu: bool = False, root: Path = Path("/")) -> int | None:
    """Return the bytes that this process can still get: of the GPU, or of the host and its container, with swap.

    None where the system does not tell.
    """
    if gpu:
        return int(torch.cuda.mem_get_info()[0])
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = (line.split() for line in (root / "proc" / "meminfo").read_text().splitlines())
        kilobytes = {line[0]: int(line[1]) for line in lines if len(line) > 1}
        found.append(1024 * (kilobytes["MemAvailable:"] + kilobytes.get("SwapFree:", 0)))
    group = root / "sys" / "fs" / "cgroup"
    with contextlib.suppress(OSError, ValueError, KeyError):  # cgroup v2: `max`, or bytes
        held = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(held["inactive_file"])
        found.append(int((group / "memory.max").read_text()) - used)
    return max(0, min(found)) if found else None


class Starvation:
    """Detector of threads that get less processor time than they could use.

    While another process is busy, threads wait for each other at every barrier: two threads on two cores then run at a
    quarter of the speed of one, or less.
    """

    WINDOW, WINDOWS, SHARE = 10.0, 3, 0.85

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, used: Callable[[], float] = time.process_time
    ) -> None:
        self._clock, self._used = clock, used
        self._since, self._before, self._starved = clock(), used(), 0

    def hint(self, threads: int) -> str | None:
        """Return a line of advice, once, after the processor time stayed well below what the threads could use."""
        now = self._clock()
        if threads < 2 or now - self._since < self.WINDOW or self._starved > self.WINDOWS:
            return None
        used = self._used()
        share = (used - self._before) / (now - self._since) / threads
        self._since, self._before = now, used
        self._starved = self._starved + 1 if share < self.SHARE else 0
        if self._starved < self.WINDOWS:
            return None
        self._starved = self.WINDOWS + 1
        return (
            f"{threads} threads got {share:.0%} of the processor time that they could use: another process is busy on "
            f"this machine; --set compute.threads={threads - 1} is likely faster"
        )


def keep_memory() -> None:
    """Make the process keep freed memory for the next tensor of the same size.

    glibc returns large blocks to the system at once, and the system then maps and zeroes every activation of the next
    step page by page: a seventh of the time of a forward pass at 256 pixels.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold = -1, -3  # from glibc's malloc.h; blocks above 32 MiB are always mapped
    library = ctypes.CDLL(None)
    library.mallopt(trim_threshold, 2**31 - 1)
    library.mallopt(mmap_threshold, 2**25)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware, so that bf16 is faster there."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    # Private, but torch's only functions for it; with a torch that lacks them, fp32 is used.
    asked = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(supported is not None and supported() for supported in asked)
