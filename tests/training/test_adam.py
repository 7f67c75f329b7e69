import torch
from torch import nn

from slimgen.training.optimizers import Adam

SHAPES = [(6, 4, 3, 3), (5,), (8, 8, 1, 1), (3, 2, 4, 4)]


def weights(layout: torch.memory_format) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=draw) for shape in SHAPES]
    return [nn.Parameter(one.contiguous(memory_format=layout) if one.dim() == 4 else one) for one in tensors]


def train(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], first: int, last: int) -> None:
    for step in range(first, last):
        for place, param in enumerate(params):
            gradient = torch.randn(param.shape, generator=torch.Generator().manual_seed(100 * step + place))
            param.grad = torch.empty_like(param).copy_(gradient)
        optimizer.step()


def test_weights_in_channels_last_get_the_numbers_of_pytorchs_adam():
    ours, theirs = weights(torch.channels_last), weights(torch.contiguous_format)
    train(Adam(ours, 1e-2, (0.5, 0.999)), ours, 0, 5)
    train(torch.optim.Adam(theirs, 1e-2, (0.5, 0.999), fused=True), theirs, 0, 5)
    for mine, wanted in zip(ours, theirs, strict=True):
        assert torch.equal(mine, wanted)
    assert ours[0].is_contiguous(memory_format=torch.channels_last)


def test_its_state_goes_through_a_checkpoint_bit_for_bit():
    whole, params = weights(torch.channels_last), weights(torch.channels_last)
    train(Adam(whole, 1e-2, (0.5, 0.999)), whole, 0, 6)
    before = Adam(params, 1e-2, (0.5, 0.999))
    train(before, params, 0, 3)
    after = Adam(params, 1e-2, (0.5, 0.999))
    after.load_state_dict(before.state_dict())
    train(after, params, 3, 6)
    assert all(torch.equal(one, two) for one, two in zip(whole, params, strict=True))
    assert after.state_dict()["state"][0]["exp_avg"].shape == SHAPES[0]
