import numpy as np
import pytest
import torch

from slimgen.data.batches import Batches, whole
from slimgen.data.prepared import Split
from slimgen.errors import DataError


def split(count: int = 7, side: int = 12) -> Split:
    """Image i is i in its first channel, its rows in the second and its columns in the third; targets are inverted."""
    images = np.zeros((count, side, side, 3), np.uint8)
    images[..., 0] = np.arange(count)[:, None, None]
    images[..., 1] = np.arange(side)[:, None]
    images[..., 2] = np.arange(side)
    return Split("train", images, 255 - images, tuple(map(str, range(count))))


def sets(inputs: int = 7, targets: int = 5, side: int = 12) -> Split:
    """Two sets of such images, the targets inverted."""
    source, target = split(inputs, side), split(targets, side)
    return Split("train", source.input, target.target, source.names, target.names, paired=False)


def bytes_of(images: torch.Tensor) -> torch.Tensor:
    return ((images + 1) * 127.5).round().to(torch.int64)


def which(images: torch.Tensor) -> list[int]:
    return bytes_of(images)[:, 0, 0, 0].tolist()


def test_a_batch_depends_only_on_seed_and_step() -> None:
    first, second = (Batches(split(), batch=4, seed=3, crop=8) for _ in range(2))
    forwards = [first(step) for step in range(9)]
    backwards = [second(step) for step in reversed(range(9))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert torch.equal(a.input, b.input)
        assert torch.equal(a.target, b.target)


def test_seeds_differ() -> None:
    a, b = (Batches(split(), batch=7, seed=seed, crop=8)(0) for seed in (0, 1))
    assert not torch.equal(a.input, b.input)


def test_every_epoch_sees_every_image_once_and_drops_none() -> None:
    batches = Batches(split(7), batch=4, seed=0, crop=12)
    seen = [i for step in range(7) for i in which(batches(step).input)]
    epochs = [seen[i : i + 7] for i in range(0, 28, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_a_batch_larger_than_the_split_spans_epochs() -> None:
    seen = which(Batches(split(3), batch=8, seed=0, crop=12)(0).input)
    assert sorted(seen[:3]) == sorted(seen[3:6]) == [0, 1, 2]


@pytest.mark.parametrize("world", [2, 4])
def test_all_ranks_together_see_the_batches_of_one_process(world: int) -> None:
    alone = Batches(split(), batch=8, seed=5, crop=8)
    ranks = [Batches(split(), batch=8, seed=5, crop=8, rank=rank, world=world) for rank in range(world)]
    for step in (0, 1, 6):
        parts = [batches(step) for batches in ranks]
        assert torch.equal(torch.cat([part.input for part in parts]), alone(step).input)
        assert torch.equal(torch.cat([part.target for part in parts]), alone(step).target)


def test_input_and_target_are_cropped_and_flipped_alike_and_within_range() -> None:
    batches = Batches(split(), batch=7, seed=0, crop=8)
    flips, corners = set(), set()
    for step in range(6):
        pair = batches(step)
        assert pair.input.shape == pair.target.shape == (7, 3, 8, 8)
        assert pair.input.dtype == torch.float32
        assert torch.allclose(pair.input, -pair.target, atol=1e-6)
        for image in bytes_of(pair.input):
            columns = image[2, 0]
            assert set((columns[1:] - columns[:-1]).tolist()) in ({1}, {-1})
            flips.add(int(columns[1] - columns[0]))
            corners.add((int(image[1, 0, 0]), int(columns.min())))
    assert flips == {1, -1}
    assert len(corners) > 10
    assert {y for y, _ in corners} | {x for _, x in corners} == set(range(5))


def test_without_flips_none_is_flipped() -> None:
    batches = Batches(split(), batch=7, seed=0, crop=12, flip=False)
    for step in range(4):
        assert torch.equal(bytes_of(batches(step).input)[:, 2, 0], torch.arange(12).expand(7, 12))


def test_the_ends_of_the_range_are_exact() -> None:
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1).repeat(3, 3)
    pair = whole(Split("test", images, images, ("a", "b")))
    assert pair.input[:, 0, 0, 0].tolist() == [-1.0, 1.0]


def test_whole_gives_the_first_images_in_order_and_unaltered() -> None:
    pair = whole(split(), limit=3)
    assert which(pair.input) == [0, 1, 2]
    assert bytes_of(pair.input)[0, 1, :, 0].tolist() == list(range(12))
    assert whole(split()).input.shape == (7, 3, 12, 12)


def test_a_batch_that_ranks_cannot_share_is_an_error() -> None:
    with pytest.raises(DataError, match="batch 4 for 3 ranks"):
        Batches(split(), batch=4, seed=0, crop=8, world=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 13}, "crop 13 x 13 of 12 x 12"),
        ({"crop": 0}, "crop 0"),
        ({"batch": 0}, "batch 0"),
        ({"rank": 1}, "rank 1 of 1"),
        ({"seed": -1}, "seed"),
        ({"split": split(0)}, "none"),
    ],
)
def test_impossible_batches_are_refused(options: dict, message: str) -> None:
    given = {"split": split(), "batch": 4, "seed": 0, "crop": 8} | options
    with pytest.raises(DataError, match=message):
        Batches(given.pop("split"), **given)


def test_steps_before_the_first_are_refused() -> None:
    with pytest.raises(DataError, match="a step must be at least 0"):
        Batches(split(), batch=4, seed=0, crop=8)(-1)


def test_whole_refuses_a_limit_below_one() -> None:
    with pytest.raises(DataError):
        whole(split(), 0)


def marks(batches: Batches, step: int) -> list[tuple[int, ...]]:
    """Of each image of both sides: which, the smallest row and column of the crop, and whether it is mirrored."""
    pair = batches(step)
    found = []
    for images in (bytes_of(pair.input), 255 - bytes_of(pair.target)):
        for image in images:
            columns = image[2, 0]
            found.append((int(image[0, 0, 0]), int(image[1].min()), int(columns.min()), int(columns[0] > columns[1])))
    return found


def test_a_batch_of_two_sets_depends_only_on_seed_and_step() -> None:
    first, second = (Batches(sets(), batch=4, seed=3, crop=8) for _ in range(2))
    forwards = [marks(first, step) for step in range(9)]
    assert [marks(second, step) for step in reversed(range(9))][::-1] == forwards
    assert marks(Batches(sets(), batch=4, seed=4, crop=8), 0) != forwards[0]


def test_every_epoch_of_a_set_sees_every_image_once_whatever_the_length_of_the_other() -> None:
    batches = Batches(sets(7, 5), batch=5, seed=0, crop=12)
    pairs = [batches(step) for step in range(7)]
    inputs = [i for pair in pairs for i in which(pair.input)]
    targets = [255 - i for pair in pairs for i in which(pair.target)]
    assert all(sorted(inputs[at : at + 7]) == list(range(7)) for at in range(0, 35, 7))
    assert all(sorted(targets[at : at + 5]) == list(range(5)) for at in range(0, 35, 5))


def test_the_images_of_one_set_do_not_depend_on_the_other() -> None:
    few, many = (Batches(sets(7, targets), batch=4, seed=0, crop=8) for targets in (1, 30))
    assert all(torch.equal(few(step).input, many(step).input) for step in range(8))


def test_partners_in_two_sets_meet_no_more_often_than_by_chance() -> None:
    source = split(7)
    named = Split("train", source.input, source.target, source.names, source.names, paired=True)
    batches = Batches(named, batch=7, seed=0, crop=8)
    seen = [marks(batches, step) for step in range(300)]
    both = [(one, other) for step in seen for one, other in zip(step[:7], step[7:], strict=True)]
    # 2,100 meetings; each rate is that of independent uniform draws, within five deviations.
    for part, chance in ((0, 1 / 7), (1, 1 / 5), (2, 1 / 5), (3, 1 / 2)):
        rate = sum(one[part] == other[part] for one, other in both) / len(both)
        assert abs(rate - chance) < 5 * (chance * (1 - chance) / len(both)) ** 0.5


@pytest.mark.parametrize("world", [2, 4])
def test_the_ranks_together_see_the_same_two_sets_as_one_process(world: int) -> None:
    alone = Batches(sets(), batch=8, seed=5, crop=8)
    ranks = [Batches(sets(), batch=8, seed=5, crop=8, rank=rank, world=world) for rank in range(world)]
    for step in (0, 1, 6):
        parts = [batches(step) for batches in ranks]
        assert torch.equal(torch.cat([part.input for part in parts]), alone(step).input)
        assert torch.equal(torch.cat([part.target for part in parts]), alone(step).target)


def test_an_epoch_of_two_sets_is_as_long_as_the_larger() -> None:
    assert (len(sets(7, 5)), len(sets(5, 7)), len(split(7))) == (7, 7, 7)


@pytest.mark.parametrize("counts", [(0, 5), (5, 0)])
def test_an_empty_set_is_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="none"):
        Batches(sets(*counts), batch=4, seed=0, crop=8)


def test_whole_gives_both_sets_in_full_or_each_up_to_the_limit() -> None:
    pair = whole(sets(7, 5))
    assert which(pair.input) == list(range(7))
    assert [255 - i for i in which(pair.target)] == list(range(5))
    limited = whole(sets(7, 5), limit=6)
    assert (len(limited.input), len(limited.target)) == (6, 5)
