import pytest
import torch

from slimgen.device import Compute, choose, multiplies_bfloat16
from slimgen.errors import RecipeError

CPU = torch.device("cpu")


def test_automatic_precision_follows_the_processor() -> None:
    wanted = torch.bfloat16 if multiplies_bfloat16(CPU) else torch.float32
    assert choose("auto", "cpu").dtype == wanted
    assert choose("fp32", "cpu").dtype == torch.float32
    assert choose("bf16", "cpu").dtype == torch.bfloat16


def test_what_was_chosen_is_said() -> None:
    text = str(choose("fp32", "cpu"))
    assert text.startswith("cpu fp32 channels_last")
    assert "threads" in text


def test_images_and_modules_are_laid_out_channels_last() -> None:
    compute = Compute(CPU)
    assert compute.place(torch.zeros(2, 3, 4, 4)).is_contiguous(memory_format=torch.channels_last)
    assert compute.place(torch.nn.Conv2d(4, 8, 3)).weight.is_contiguous(memory_format=torch.channels_last)
    assert compute.place(torch.zeros(5)).shape == (5,)


def test_only_convolutions_are_lowered() -> None:
    net = torch.nn.Conv2d(3, 4, 1)
    with Compute(CPU, torch.bfloat16).autocast():
        assert net(torch.zeros(1, 3, 4, 4)).dtype == torch.bfloat16
    assert net.weight.dtype == torch.float32
    with Compute(CPU).autocast():
        assert net(torch.zeros(1, 3, 4, 4)).dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line() -> None:
    with pytest.raises(RecipeError, match="GPU"):
        choose(device="cuda")


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(RecipeError, match="bf16"):
        choose("fp8")
