"""Batches of images as a pure function of the step, so that a resumed run gets the same batches."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slimgen.data.prepared import Split
from slimgen.errors import DataError
from slimgen.size import Size


class Pair(NamedTuple):
    """Input and target images: float32 (N, 3, H, W) in [-1, 1].

    Label maps are ids mapped from 0 .. 255 to [-1, 1] like any image: (N, 1, H, W), or (N, 2, H, W) with instance
    edges. See `slimgen.tasks.labels`.

    In two sets of images, inputs and targets are no partners, and whole sets may differ in N.
    """

    input: Tensor
    target: Tensor

    def chosen(self, which: slice | Tensor) -> "Pair":
        """Return some of the images with their targets, by a slice or by their places (n,)."""
        return Pair(self.input[which], self.target[which])


class Batches:
    """Batch of each step: `batches(step)` depends only on (seed, step).

    The order of images is drawn for each epoch from (seed, epoch). The images of all epochs form one endless sequence
    that is cut into batches, so no image is dropped at an epoch's end, and a batch may span two epochs. Crop and flip
    belong to the position in the sequence and not to the process: all ranks together get the images of one process.

    The two images of a pair share order, crop and flip. Each of two sets has its own sequence with its own length, so
    nothing ties an input to a target, even where partners exist.

    Args:
        batch: pairs, or images of each set, per step over all ranks.
        crop: size of the random crop; a number is the side of a square.
        flip: whether to mirror half of the pairs.
        rank: index of this process's slice of each batch, out of `world`.

    Raises:
        DataError: the split is empty, the crop does not fit, or the batch cannot be divided.
    """

    def __init__(
        self, split: Split, *, batch: int, seed: int, crop: Size | int, flip: bool = True, rank: int = 0, world: int = 1
    ) -> None:
        require_one_size(split)
        shape = Size(*split.input.shape[1:3])
        crop = Size(crop, crop) if isinstance(crop, int) else crop
        if min(len(split.input), len(split.target)) == 0:
            raise DataError(f"the split {split.name!r} must have images", "none")
        if min(crop) < 1 or not crop.within(shape):
            raise DataError("a crop must fit into its images", f"crop {crop} of {shape}")
        if batch < 1 or world < 1 or batch % world:
            raise DataError("a batch must divide evenly among the ranks", f"batch {batch} for {world} ranks")
        if seed < 0:
            raise DataError("a seed must be at least 0", f"seed {seed}")
        if not 0 <= rank < world:
            raise DataError("a rank must be from 0 to world - 1", f"rank {rank} of {world}")
        self.split, self.batch, self.seed, self.crop, self.flip = split, batch, seed, crop, flip
        self.rank, self.world = rank, world
        if split.coupled:
            both = _Sequence(split.input.shape, crop, flip, seed)
            self._sequences = both, both
        else:
            sides = enumerate((split.input, split.target), 1)
            source, target = (_Sequence(side.shape, crop, flip, seed, number) for number, side in sides)
            self._sequences = source, target

    def __call__(self, step: int) -> Pair:
        """Return the images of a step: input and target, each (batch / world, channels, height, width)."""
        if step < 0:
            raise DataError("a step must be at least 0", step)
        share = self.batch // self.world
        first = step * self.batch + self.rank * share
        sides = zip((self.split.input, self.split.target), self._sequences, strict=True)
        return Pair(*(tensor_of(sequence.cut(images, first, share)) for images, sequence in sides))


class _Epoch(NamedTuple):
    order: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    mirrored: NDArray[np.bool_]


class _Sequence:
    """Endless sequence of the images of all epochs, with crop and flip of each position.

    Its images have the shape (N, height, width, channels). `number` tells sequences of one seed apart. It counts from
    1, since numpy ignores a 0 at the end of a seed, and is None for a single sequence.
    """

    def __init__(self, shape: tuple[int, ...], crop: Size, flip: bool, seed: int, number: int | None = None) -> None:
        self.count, self.height, self.width = shape[:3]
        self.crop, self.flip, self.seed = crop, flip, seed
        self._own = () if number is None else (number,)
        self._epochs: dict[int, _Epoch] = {}

    def cut(self, images: NDArray[np.uint8], first: int, share: int) -> NDArray[np.uint8]:
        """Return `share` images from position `first` of the sequence, (share, height, width, channels)."""
        high, wide = self.crop
        pieces = np.empty((share, high, wide, images.shape[3]), np.uint8)
        for i in range(share):
            number, place = divmod(first + i, self.count)
            epoch = self._epoch(number)
            top, left = int(epoch.top[place]), int(epoch.left[place])
            window = (int(epoch.order[place]), slice(top, top + high), slice(left, left + wide))
            pieces[i] = images[window][:, :: -1 if epoch.mirrored[place] else 1]
        return pieces

    def _epoch(self, number: int) -> _Epoch:
        if number not in self._epochs:
            rng = np.random.default_rng([self.seed, number, *self._own])
            drawn = _Epoch(
                rng.permutation(self.count),
                rng.integers(0, self.height - self.crop.height + 1, self.count),
                rng.integers(0, self.width - self.crop.width + 1, self.count),
                np.logical_and(rng.random(self.count) < 0.5, self.flip),
            )
            # Only the newest are kept: a batch needs several epochs of a small split, and at most two of a large one.
            self._epochs = {k: v for k, v in self._epochs.items() if number - 1 <= k <= number} | {number: drawn}
        return self._epochs[number]


def whole(split: Split, limit: int | None = None) -> Pair:
    """Return a split as one pair of tensors (N, channels, height, width), in order and unaltered, for evaluation.

    At most `limit` images of each side are returned. Two sets may differ in N; row i of both show the same scene if
    `split.paired`.

    Raises:
        DataError: the limit is below 1.
    """
    require_one_size(split)
    if limit is not None and limit < 1:
        raise DataError("the limit of images must be at least 1", limit)
    return Pair(tensor_of(split.input[:limit]), tensor_of(split.target[:limit]))


def require_one_size(split: Split) -> None:
    """Raise DataError if the pictures of a split keep their own sizes, as for another task."""
    if split.shapes is not None:
        rule = f"the pictures of the split {split.name!r} must be of one size"
        raise DataError(rule, "pictures of several, for upscaling", "prepare them with this recipe")


def tensor_of(images: NDArray[np.uint8]) -> Tensor:
    """Return images (N, H, W, C) uint8 as (N, C, H, W) float32 in [-1, 1]."""
    channels_first = images.transpose(0, 3, 1, 2).copy(order="C")  # a copy, since memory maps are read only
    return scaled(torch.from_numpy(channels_first))


def scaled(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [-1, 1]; floating-point images unchanged."""
    return images if images.is_floating_point() else images.to(torch.float32).mul_(2 / 255).sub_(1)
