"""Patches of pictures of unequal sizes, as a pure function of the step."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from slimgen.data.batches import Pair, tensor_of
from slimgen.data.pictures import PicturePair, Pictures
from slimgen.data.prepared import Split
from slimgen.errors import DataError
from slimgen.size import Size


class _Epoch(NamedTuple):
    order: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    turned: NDArray[np.int64]


class Patches:
    """Patches of each step for upscaling: `patches(step)` depends only on (seed, step).

    In an epoch, whose order is drawn from (seed, epoch), every picture gives one patch, from anywhere in it. The
    epochs form one endless sequence that is cut into batches, as in `Batches`. Place, flip and turn belong to the
    position in that sequence, so all ranks together get the patches of one process. A patch that is turned by a quarter
    is cut with height and width exchanged, so it need not be square.

    Args:
        split: pictures of any sizes, at least as large as a patch.
        batch: patches per step over all ranks.
        size: size of an input patch; a target patch is `split.scale` times as large.
        flip: whether to mirror half of the patches.
        turn: whether to turn them by 0 to 3 quarters.
        rank: index of this process's slice of each batch, out of `world`.

    Raises:
        DataError: the split is empty, a picture is smaller than a patch, or the batch cannot be divided.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch: int,
        seed: int,
        size: Size,
        flip: bool = True,
        turn: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        shapes = shapes_of(split)
        if not shapes:
            raise DataError(f"the split {split.name!r} must have images", "none")
        if not all(size.within(shape) for shape in shapes):
            smallest = min(shapes, key=min)
            raise DataError("a patch must fit into its pictures", f"{size} of {smallest}", "prepare the data again")
        if batch < 1 or world < 1 or batch % world:
            raise DataError("a batch must divide evenly among the ranks", f"batch {batch} for {world} ranks")
        self.split, self.batch, self.seed, self.size = split, batch, seed, size
        self.flip, self.turn, self.rank, self.world = flip, turn, rank, world
        self._sizes = np.array(shapes, np.int64)
        # A turned patch needs its width as height; pictures too narrow for that are turned by half only.
        self._turnable: NDArray[np.bool_] = np.all(self._sizes >= np.array(size[::-1]), axis=1)
        self._epochs: dict[int, _Epoch] = {}

    def __call__(self, step: int) -> Pair:
        """Return a step's inputs (batch / world, C, h, w), and targets (.., scale x h, scale x w)."""
        if step < 0:
            raise DataError("a step must be at least 0", step)
        share = self.batch // self.world
        first = step * self.batch + self.rank * share
        places = [divmod(first + number, len(self.split)) for number in range(share)]
        return Pair(*(tensor_of(np.stack([self._patch(which, *at) for at in places])) for which in ("input", "target")))

    def _patch(self, which: str, number: int, place: int) -> NDArray[np.uint8]:
        epoch = self._epoch(number)
        times, quarters = 1 if which == "input" else self.split.scale, int(epoch.turned[place])
        high, wide = (times * side for side in (self.size if quarters % 2 == 0 else self.size[::-1]))
        top, left = times * int(epoch.top[place]), times * int(epoch.left[place])
        patch = self.split.picture(which, int(epoch.order[place]))[top : top + high, left : left + wide]
        return np.rot90(patch[:, :: -1 if epoch.mirrored[place] else 1], quarters)

    def _epoch(self, number: int) -> _Epoch:
        if number not in self._epochs:
            rng, count = np.random.default_rng([self.seed, number]), len(self.split)
            order = rng.permutation(count)
            quarters = rng.integers(0, 4, count) * self.turn
            quarters = np.where(self._turnable[order], quarters, quarters // 2 * 2)
            odd = (quarters % 2).astype(bool)
            sizes = np.where(odd[:, None], np.array(self.size[::-1]), np.array(self.size))
            top, left = (rng.random((2, count)) * (self._sizes[order] - sizes + 1).T).astype(np.int64)
            mirrored = rng.random((count,)) < (0.5 if self.flip else 0)
            # Only the newest are kept: a batch needs several epochs of a small split, and at most two of a large one.
            kept = {k: v for k, v in self._epochs.items() if number - 1 <= k <= number}
            self._epochs = kept | {number: _Epoch(order, top, left, mirrored, quarters)}
        return self._epochs[number]


def whole_pictures(split: Split, limit: int | None = None) -> PicturePair:
    """Return the pictures of a split, whole and in order, of which at most `limit` are read; nothing is read yet."""
    shapes = shapes_of(split)
    larger = [Size(*(split.scale * side for side in shape)) for shape in shapes]
    found = PicturePair(Pictures(_read(split, "input"), shapes), Pictures(_read(split, "target"), larger))
    return PicturePair(found.input[:limit], found.target[:limit])


def shapes_of(split: Split) -> tuple[Size, ...]:
    """Return height and width of every input."""
    return split.shapes if split.shapes is not None else (Size(*split.input.shape[1:3]),) * len(split)


def _read(split: Split, which: str) -> Callable[[int], Tensor]:
    return lambda row: tensor_of(split.picture(which, row)[None])
