"""Patches of pictures of unequal sizes: the same of both sides, a pure function of the step; and whole pictures."""

import numpy as np
import pytest
import torch

from slimgen.data.batches import Batches, whole
from slimgen.data.patches import Patches, whole_pictures
from slimgen.data.pictures import Pictures, batches_of, middle, spoken
from slimgen.data.prepared import Split
from slimgen.errors import DataError
from slimgen.size import Size

SHAPES = (Size(5, 9), Size(8, 5), Size(6, 6))
PATCH = Size(4, 4)


def split(shapes=SHAPES, scale=2) -> Split:
    """Pictures in which every pixel is another: red counts them, green is the picture, and inputs are every second."""
    low, high = [], []
    for number, (height, width) in enumerate(shapes):
        tall, wide = scale * height, scale * width
        picture = np.full((tall, wide, 3), number, np.uint8)
        picture[..., 0] = np.arange(tall * wide).reshape(tall, wide) % 251
        picture[..., 1] = np.arange(tall * wide).reshape(tall, wide) // 251
        high.append(picture)
        low.append(picture[::scale, ::scale])
    flat = [np.concatenate([one.reshape(-1, 3) for one in side]) for side in (low, high)]
    return Split("train", *flat, tuple(map(str, range(len(shapes)))), scale=scale, shapes=shapes)


def levels(images: torch.Tensor) -> np.ndarray:
    return ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def patches(**options) -> Patches:
    return Patches(split(), **{"batch": 6, "seed": 3, "size": PATCH, **options})


def unturned(patch: np.ndarray) -> tuple[int, bool]:
    """Return by how many quarters a patch is turned, and whether it is mirrored, from its counting pixels."""
    count = patch[..., 0].astype(int) + 251 * patch[..., 1].astype(int)
    for quarters in range(4):
        for mirrored in (False, True):
            back = np.rot90(count, -quarters)[:, :: -1 if mirrored else 1]
            step = back[0, 1] - back[0, 0]
            if 0 < step < 3 and (np.diff(back, axis=1) == step).all() and back[1, 0] > back[0, 1]:
                return quarters, mirrored
    raise AssertionError("no patch of one picture")


def test_an_input_and_its_target_are_the_same_place_turned_alike():
    low, high = map(levels, patches(batch=48)(0))
    assert (low.shape, high.shape) == ((48, 4, 4, 3), (48, 8, 8, 3))
    for small, large in zip(low, high, strict=True):
        quarters, mirrored = unturned(large)
        assert unturned(small) == (quarters, mirrored)
        upright = [np.rot90(one, -quarters)[:, :: -1 if mirrored else 1] for one in (small, large)]
        assert (upright[1][::2, ::2] == upright[0]).all()


def test_flips_and_turns_are_all_drawn_and_each_can_be_switched_off():
    ways = {unturned(patch) for patch in levels(patches(batch=96)(0).target)}
    assert len(ways) == 8
    assert {mirrored for _, mirrored in map(unturned, levels(patches(batch=48, flip=False)(0).target))} == {False}
    assert {quarters for quarters, _ in map(unturned, levels(patches(batch=48, turn=False)(0).target))} == {0}


def test_every_place_of_every_picture_is_drawn():
    drawn = Patches(split(((Size(5, 6)),), 2), batch=60, seed=0, size=PATCH, flip=False, turn=False)
    corners = {int(patch[0, 0, 0]) + 251 * int(patch[0, 0, 1]) for patch in levels(drawn(0).target)}
    assert corners == {2 * left + 12 * 2 * top for top in (0, 1) for left in (0, 1, 2)}


def test_an_epoch_has_one_patch_of_each_picture_and_steps_do_not_depend_on_those_before():
    source = patches(batch=3)
    for step in (5, 0, 2):
        assert sorted(levels(source(step).input)[:, 0, 0, 2].tolist()) == [0, 1, 2]
    again = patches(batch=3)
    assert torch.equal(again(2).target, source(2).target)
    assert not torch.equal(source(1).target, source(2).target)
    assert not torch.equal(patches(batch=3, seed=4)(2).target, source(2).target)


def test_all_ranks_together_get_the_patches_of_one_process():
    alone = patches()(7)
    parts = [patches(rank=rank, world=3)(7) for rank in range(3)]
    for side in range(2):
        assert torch.equal(torch.cat([part[side] for part in parts]), alone[side])


def test_patches_that_are_no_squares_keep_their_shape_and_narrow_pictures_are_turned_by_half_only():
    source = Patches(split((Size(3, 9), Size(9, 9))), batch=64, seed=0, size=Size(3, 6))
    low, high = map(levels, source(0))
    assert (low.shape, high.shape) == ((64, 3, 6, 3), (64, 6, 12, 3))
    turns = {number: {unturned(patch)[0] for patch in high if patch[0, 0, 2] == number} for number in (0, 1)}
    assert turns == {0: {0, 2}, 1: {0, 1, 2, 3}}


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(DataError, match="a patch must fit into its pictures; got 6 x 6 of 5 x 9"):
        patches(size=Size(6, 6))
    with pytest.raises(DataError, match="a batch must divide evenly"):
        patches(world=4)
    with pytest.raises(DataError, match="the pictures of the split 'train' must be of one size"):
        Batches(split(), batch=1, seed=0, crop=4)
    with pytest.raises(DataError, match="the pictures of the split 'train' must be of one size"):
        whole(split())


def test_pictures_are_read_one_at_a_time_and_chosen_without_reading():
    found = whole_pictures(split(), 2)
    assert [tuple(one.shape) for one in found.target] == [(1, 3, 10, 18), (1, 3, 16, 10)]
    (last,) = found.input[torch.tensor([1])]
    assert (levels(last)[0] == split().picture("input", 1)).all()
    read = []

    def reading(row: int) -> torch.Tensor:
        read.append(row)
        return torch.zeros(1, 1, *SHAPES[row])

    pictures = Pictures(reading, SHAPES)
    larger = pictures[1:].changed(lambda one: one.repeat(1, 1, 3, 3), 3)
    assert (read, larger.shapes, spoken(larger)) == ([], [Size(24, 15), Size(18, 18)], "18x15 to 24x18 px")
    assert [one.shape[-2:] for one in batches_of(larger, 8)] == [(24, 15), (18, 18)]
    assert read == [1, 2]


def test_the_middle_of_a_picture_is_cut_and_mirrored_where_it_is_too_small():
    row = torch.arange(6.0).view(1, 1, 1, 6)
    assert middle(row, Size(1, 4)).flatten().tolist() == [1, 2, 3, 4]
    assert middle(row[..., :2], Size(1, 6)).flatten().tolist() == [1, 0, 0, 1, 1, 0]
