"""Numbers of channels, of which those that can only be cut together become one."""

from collections.abc import Iterable

import torch
from torch import Tensor


class Marks:
    """Numbers of channels, which may become one (union-find), and the reasons for which some stay whole."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.pinned: dict[int, str] = {}
        self.mixed: dict[int, str] = {}

    def fresh(self, count: int, pinned: str | None = None) -> Tensor:
        """Return new numbers (count,), pinned where there is a reason."""
        first = len(self.parent)
        self.parent += range(first, first + count)
        if pinned:
            self.pinned |= dict.fromkeys(range(first, first + count), pinned)
        return torch.arange(first, first + count, dtype=torch.int32)

    def root(self, mark: int) -> int:
        """Return the number that stands for all that became one with this."""
        while self.parent[mark] != mark:
            self.parent[mark] = self.parent[self.parent[mark]]
            mark = self.parent[mark]
        return mark

    def join(self, one: Tensor, other: Tensor) -> None:
        """Make numbers one, place by place; shapes are broadcast."""
        if one.shape == other.shape and torch.equal(one, other):
            return
        pairs = torch.stack([side.reshape(-1) for side in broadcast(one, other)])
        for a, b in torch.unique(pairs, dim=1).T.tolist():
            low, high = sorted((self.root(a), self.root(b)))
            if low != high:
                self.parent[high] = low
                for reasons in (self.pinned, self.mixed):
                    if high in reasons:
                        reasons.setdefault(low, reasons[high])

    def level(self, marks: Tensor, dims: Iterable[int], why: str | None = None) -> Tensor:
        """Make the numbers along dimensions one; return them with one number along each."""
        for dim in dims:
            first = marks.narrow(dim, 0, 1)
            if marks.shape[dim] > 1:
                self.join(marks, first)
                if why:
                    for mark in torch.unique(first).tolist():
                        self.mixed.setdefault(self.root(mark), why)
            marks = first
        return marks

    def pin(self, marks: Tensor, why: str) -> None:
        """Let channels stay whole for a reason; the first reason counts."""
        for mark in torch.unique(marks).tolist():
            self.pinned.setdefault(self.root(mark), why)


def broadcast(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return two tensors in the shape of both together."""
    shape = torch.broadcast_shapes(one.shape, other.shape)  # type: ignore[no-untyped-call]
    return one.expand(shape), other.expand(shape)


def parted(marks: Tensor, dim: int, count: int) -> Tensor:
    """Return numbers with one dimension in two: `count`, and the rest."""
    dim %= marks.dim()
    return marks.reshape(*marks.shape[:dim], count, -1, *marks.shape[dim + 1 :])


def compact(marks: Tensor) -> Tensor:
    """Return marks with one value along each dimension in which they do not differ."""
    for dim, size in enumerate(marks.shape):
        first = marks.narrow(dim, 0, 1) if size else marks
        if size > 1 and (marks.stride(dim) == 0 or torch.equal(marks, first.expand_as(marks))):
            marks = first
    return marks
