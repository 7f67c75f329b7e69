import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from slimgen.errors import RecipeError
from slimgen.run.checkpoint import Checkpoints
from slimgen.training.pool import ImagePool


def images(step: int, count: int = 4) -> torch.Tensor:
    """Images that are all different: the i-th of a step is filled with count * step + i."""
    return (step * count + torch.arange(count, dtype=torch.float32)).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()


def numbers(shown: torch.Tensor) -> list[int]:
    assert torch.equal(shown, shown[:, :1, :1, :1].expand_as(shown))
    return shown[:, 0, 0, 0].int().tolist()


def test_images_are_returned_as_they_are_until_the_pool_is_full() -> None:
    pool = ImagePool(8, seed=0)
    for step in range(2):
        assert torch.equal(pool.query(images(step), step), images(step))
    assert len(pool) == 8
    assert any(not torch.equal(pool.query(images(step), step), images(step)) for step in range(2, 6))
    assert len(pool) == 8


def test_every_image_is_shown_once_or_still_stored() -> None:
    pool = ImagePool(10, seed=1)
    shown = [number for step in range(50) for number in numbers(pool.query(images(step), step))]
    # The first ten were shown when they were stored; after that nothing is shown twice, and nothing is lost.
    stored = numbers(torch.stack(pool.state_dict()["images"]))
    assert shown[:10] == list(range(10))
    assert sorted(shown[10:] + stored) == sorted([*range(10), *range(10, 200)])


def test_half_of_the_images_are_swapped_with_any_of_the_stored_ones() -> None:
    pool, steps = ImagePool(5, seed=2), 1000
    for step in range(2):
        pool.query(images(step), step)
    places, swaps = [0] * 5, 0
    for step in range(2, steps):
        before = numbers(torch.stack(pool.state_dict()["images"]))
        shown = numbers(pool.query(images(step, 1) + 10, step))[0]
        if shown in before:
            swaps += 1
            places[before.index(shown)] += 1
    draws = steps - 2
    assert abs(swaps - draws / 2) < 5 * (draws / 4) ** 0.5
    assert all(abs(count - swaps / 5) < 5 * (swaps * 0.16) ** 0.5 for count in places)


def test_the_returned_images_are_a_function_of_seed_and_step() -> None:
    def all_shown(seed: int) -> list[list[int]]:
        pool = ImagePool(6, seed)
        torch.manual_seed(torch.seed())
        return [numbers(pool.query(images(step), step)) for step in range(12)]

    assert all_shown(3) == all_shown(3)
    assert all_shown(3) != all_shown(4)


@pytest.mark.parametrize("stop", [1, 2, 7])
def test_a_pool_from_a_checkpoint_continues_bit_for_bit(tmp_path: Path, stop: int) -> None:
    def noise(step: int) -> torch.Tensor:
        made = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        return made.contiguous(memory_format=torch.channels_last)

    pool = ImagePool(5, seed=0)
    for step in range(stop):
        pool.query(noise(step), step)
    Checkpoints(tmp_path, "mark").save(stop, {"pool": pool.state_dict()})
    again = ImagePool(5, seed=0)
    found = Checkpoints(tmp_path, "mark").load()
    assert found is not None
    again.load_state_dict(found[1]["pool"])
    for step in range(stop, stop + 9):
        one, other = pool.query(noise(step), step), again.query(noise(step), step)
        assert torch.equal(one, other)
        assert one.stride() == other.stride() == noise(step).stride()


def test_a_state_is_not_changed_by_later_images_and_holds_only_its_own() -> None:
    pool = ImagePool(3, seed=0)
    pool.query(torch.rand(64, 3, 8, 8), 0)
    state = pool.state_dict()
    copies = [image.clone() for image in state["images"]]
    for step in range(1, 9):
        pool.query(torch.rand(64, 3, 8, 8), step)
    assert all(torch.equal(a, b) for a, b in zip(state["images"], copies, strict=True))
    file = io.BytesIO()
    torch.save(state, file)
    assert file.tell() < 3 * 3 * 8 * 8 * 4 + 4096


def test_images_that_went_in_or_came_out_may_be_overwritten() -> None:
    pool, given = ImagePool(4, seed=0), images(0)
    pool.query(given, 0).zero_()
    given.zero_()
    assert numbers(torch.stack(pool.state_dict()["images"])) == [0, 1, 2, 3]


def test_a_pool_of_size_0_passes_images_through() -> None:
    pool = ImagePool(0)
    for step in range(3):
        assert torch.equal(pool.query(images(step), step), images(step))
    assert len(pool) == 0
    assert pool.state_dict() == {"images": []}


@pytest.mark.parametrize("size", [0, 2])
def test_no_gradient_flows_back_through_a_pool(size: int) -> None:
    assert not ImagePool(size).query(images(0).requires_grad_(), 0).requires_grad


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(RecipeError, match="got -1"):
        ImagePool(-1)


RANKS = """
import sys, torch
from torch import distributed
from slimgen.training.pool import ImagePool
rank, out = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{out}/meet", rank=rank, world_size=2)
pool = ImagePool(6, seed=3)
whole = [torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(step)) for step in range(8)]
shown = [pool.query(images[2 * rank : 2 * rank + 2], step) for step, images in enumerate(whole)]
torch.save({"shown": shown, **pool.state_dict()}, f"{out}/{rank}.pt")
distributed.destroy_process_group()
"""


def test_two_processes_show_and_store_what_one_would(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, "-c", RANKS, str(rank), str(tmp_path)], env=environment) for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    alone = ImagePool(6, seed=3)
    for step in range(8):
        images = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        assert torch.equal(alone.query(images, step), torch.cat([rank["shown"][step] for rank in ranks]))
    for rank in ranks:
        assert torch.equal(torch.stack(rank["images"]), torch.stack(alone.state_dict()["images"]))
