"""Training in several processes: torchrun's ranks split each batch and step with the averaged gradients."""

import atexit
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import distributed, nn

from slimgen.errors import RunError

T = TypeVar("T")
Item = TypeVar("Item")
GONE = re.compile(r"by peer|remote (worker|process)|Broken pipe|Timed out waiting|NCCL")
_alone = False


def world() -> tuple[int, int]:
    """Return this process's rank and the number of processes; the first call joins torchrun's process group."""
    if _alone or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return 0, 1
    if not distributed.is_initialized():
        # Processes may wait long while the first one searches or prepares alone.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=timedelta(days=7))
        # Its threads must end before the interpreter does, or the process aborts after its work is done.
        atexit.register(distributed.destroy_process_group)
    return distributed.get_rank(), distributed.get_world_size()


def several() -> bool:
    """Return whether the run has several processes, also within `alone`."""
    return distributed.is_initialized() and distributed.get_world_size() > 1


@contextmanager
def alone() -> Iterator[None]:
    """Make this process act as the only one, for work that each process does alone, such as training a candidate."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def _joined() -> bool:
    return distributed.is_initialized() and not _alone


@contextmanager
def peers() -> Iterator[None]:
    """Raise RunError where another process has ended; the libraries would print pages about their sockets."""
    try:
        yield
    except RuntimeError as error:  # gloo's, and NCCL's, which is a kind of it
        if not (distributed.is_initialized() and GONE.search(str(error))):
            raise
        hint = "see its own message for the reason; the same command resumes the run"
        raise RunError("all processes of a run must keep running", "one that has ended", hint) from error


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes.

    Every process draws the same architectures, so the same parameters have gradients everywhere. The gradients are sent
    as one flat tensor, since a supernet has hundreds of small ones.
    """
    if not _joined():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()


def together() -> None:
    """Wait until every process has reached this point."""
    if _joined():
        distributed.barrier()


def first(compute: Callable[[], T]) -> T:
    """Compute a value in the first process and return it in every process.

    All processes must call this, in the same order relative to other collective calls.
    """
    if not _joined():
        return compute()
    held: list[T | None] = [compute() if distributed.get_rank() == 0 else None]
    distributed.broadcast_object_list(held, src=0)
    return cast(T, held[0])


def spread(
    items: Sequence[Item], work: Callable[[Item], T], each: Callable[[Item, T], object] | None = None
) -> list[T]:
    """Divide the work on items between the processes; return all results, in the items' order, in every process.

    Item i goes to the process whose rank is i modulo the number of processes; `work` must not wait for other processes.
    Every process calls `each` with every item and its result; for its own items it does so as soon as each is done.
    """
    rank, size = world()
    results: list[T] = []
    for item in items[rank::size]:
        results.append(work(item))
        if each is not None:
            each(item, results[-1])
    if not _joined():
        return results
    parts: list[list[T]] = [[]] * size
    distributed.all_gather_object(parts, results)
    whole = [parts[index % size][index // size] for index in range(len(items))]
    for index, (item, result) in enumerate(zip(items, whole, strict=True)):
        if each is not None and index % size != rank:
            each(item, result)
    return whole


def require_alike(done: int, modules: Iterable[object]) -> None:
    """Check that several processes can train together: equally old checkpoints, and no BatchNorm.

    Raises:
        RunError: the checkpoints' steps differ, or a BatchNorm would use only this process's part of the batch.
    """
    if not _joined():
        return
    steps: list[int] = [0] * distributed.get_world_size()
    distributed.all_gather_object(steps, done)
    if len(set(steps)) > 1:
        rule = "all processes must resume from the same step"
        raise RunError(rule, f"steps {steps}", "let them share the run folder")
    inside = [part for module in modules if isinstance(module, nn.Module) for part in module.modules()]
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in inside):
        hint = "use norm: instance, or one process"
        raise RunError("with several processes, norms must work on single images", "a BatchNorm", hint)
