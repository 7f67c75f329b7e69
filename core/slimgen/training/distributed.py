"""Several processes as one: torchrun's ranks share a batch, and step with the gradients of the whole."""

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
    """This process's rank and the number of processes; joins the group that torchrun announces, once."""
    if _alone or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return 0, 1
    if not distributed.is_initialized():
        # Waiting for the first process to search or prepare alone may take long.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=timedelta(days=7))
        # Its threads must end before the interpreter does, or the process aborts after its work is done.
        atexit.register(distributed.destroy_process_group)
    return distributed.get_rank(), distributed.get_world_size()


def several() -> bool:
    """Whether there are several processes, whatever each of them does by itself at the moment."""
    return distributed.is_initialized() and distributed.get_world_size() > 1


@contextmanager
def alone() -> Iterator[None]:
    """Within, this process is all there are: for what each of several does by itself, such as training a candidate."""
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
    """Within, another process that is gone is a RunError: the libraries would give pages on their sockets."""
    try:
        yield
    except RuntimeError as error:  # gloo's, and NCCL's, which is a kind of it
        if not (distributed.is_initialized() and GONE.search(str(error))):
            raise
        hint = "what it said tells why; the same command goes on"
        raise RunError("all processes of a run must go on together", "another one that ended", hint) from error


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over the processes.

    Every process draws the same architectures, so the same parameters have gradients everywhere. They travel in one
    flat tensor, since a supernet has hundreds of small ones.
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
    """Waits until every process is here."""
    if _joined():
        distributed.barrier()


def first(compute: Callable[[], T]) -> T:
    """What the first process computes, for every process; the others compute nothing.

    All processes must come here, in the same order as to everything else that they do together.
    """
    if not _joined():
        return compute()
    held: list[T | None] = [compute() if distributed.get_rank() == 0 else None]
    distributed.broadcast_object_list(held, src=0)
    return cast(T, held[0])


def spread(
    items: Sequence[Item], work: Callable[[Item], T], each: Callable[[Item, T], object] | None = None
) -> list[T]:
    """The results of `work` for all items, in their order and in every process, each item worked on by one of them.

    Item i is the process's whose rank is i modulo the number of processes; `work` must not wait for other processes.
    In every process, `each` is called with every item and its result: with those of its own as soon as they are there.
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
    """What several processes need to be one: checkpoints of as many steps done, and norms that see single images.

    Raises:
        RunError: checkpoints differ, or a BatchNorm would see this process's share of the batch alone.
    """
    if not _joined():
        return
    steps: list[int] = [0] * distributed.get_world_size()
    distributed.all_gather_object(steps, done)
    if len(set(steps)) > 1:
        raise RunError("all processes resume from one checkpoint", f"steps {steps}", "let them share the run folder")
    inside = [part for module in modules if isinstance(module, nn.Module) for part in module.modules()]
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in inside):
        hint = "use norm: instance, or one process"
        raise RunError("with several processes, norms see single images", "a BatchNorm", hint)
