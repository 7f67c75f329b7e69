"""What filters contribute to the layers that read them, in closed form: errors, greedy choices, least squares."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from slimgen.nets.co_evolution.contributions import compensated, grams, orders
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.search import Genotype


def net_of(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(*layers).double().eval()
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight)
    return net


READERS = {
    "convolution": (nn.Conv2d(5, 3, 1), 1.0),
    "reflected": (nn.Conv2d(5, 3, 3, padding=1, padding_mode="reflect"), 1.0),
    "transposed": (nn.ConvTranspose2d(5, 3, 4, 2, 1), 2.0),
}
IMAGES = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def measured(name: str) -> tuple[nn.Module, FilterSpace, dict[str, Tensor], Tensor]:
    net = net_of(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), READERS[name][0])
    filters = FilterSpace(net, IMAGES[:1].float())
    hidden = net[1](net[0](IMAGES))
    return net, filters, grams(filters, [IMAGES], 0), hidden


@pytest.mark.parametrize("name", READERS)
def test_the_gram_matrix_gives_the_change_of_the_next_layer_without_any_channels(name):
    net, _, (found), hidden = measured(name)
    (gram,) = found.values()
    with torch.no_grad():
        whole = net[2](hidden)
        values = whole.numel()  # fewer than are sampled, so that the matrix is of all of them
        for gone in itertools.combinations(range(5), 2):
            small = hidden.clone()
            small[:, list(gone)] = 0
            change = float((net[2](small) - whole).square().sum())
            left = torch.zeros(5, dtype=torch.float64)
            left[list(gone)] = 1
            assert float(left @ gram @ left) == pytest.approx(change, rel=1e-9)
    assert values <= 2 * 512


def test_the_greedy_order_removes_what_changes_the_next_layer_least_beside_what_is_gone_already():
    _, filters, found, _ = measured("convolution")
    (gram,), (order,) = found.values(), orders(filters, found).values()
    removed: list[int] = []
    for channel in order[::-1]:

        def error(one: int, gone: tuple[int, ...] = tuple(removed)) -> float:
            places = [*gone, one]
            return float(gram[places][:, places].sum())

        rest = [one for one in range(5) if one not in removed]
        assert error(channel) == pytest.approx(min(map(error, rest)))
        removed.append(channel)


def test_least_squares_scales_the_kept_channels_as_a_solver_does():
    net, filters, found, hidden = measured("convolution")
    genotype = Genotype({"filter.0": "11010"})
    small = compensated(filters, found, genotype)
    kept = [0, 1, 3]
    with torch.no_grad():
        reader = net[2]
        parts = torch.stack(
            [torch.einsum("nhw,o->nohw", hidden[:, one], reader.weight[:, one, 0, 0]).flatten() for one in range(5)]
        )
        wanted = torch.linalg.lstsq(parts[kept].T, parts.sum(0)[:, None]).solution[:, 0]
        torch.testing.assert_close(
            small[2].weight, reader.weight[:, kept] * wanted[None, :, None, None], rtol=1e-4, atol=1e-6
        )
        # Better than the channels as they are, and than any other scales tried.
        whole = net(IMAGES)
        assert float((small(IMAGES) - whole).square().sum()) <= float(
            (filters.cut(genotype)(IMAGES) - whole).square().sum()
        )


def test_a_whole_generator_stays_as_it_is():
    net, filters, found, _ = measured("transposed")
    torch.testing.assert_close(
        compensated(filters, found, filters.space.largest())(IMAGES), net(IMAGES), rtol=1e-4, atol=1e-4
    )


def test_a_copied_channel_costs_nothing_and_its_twin_takes_its_place():
    net = net_of(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    with torch.no_grad():
        net[0].bias[1] = 2
        net[0].weight[3], net[0].bias[3] = net[0].weight[1], net[0].bias[1]
        net[2].weight[:, 3] = 2 * net[2].weight[:, 1]  # one scale for all outputs
    filters = FilterSpace(net, IMAGES[:1].float())
    found = grams(filters, [IMAGES], 0)
    with torch.no_grad():
        small = compensated(filters, found, Genotype({"filter.0": "1110"}))
        torch.testing.assert_close(small(IMAGES), net(IMAGES), rtol=1e-4, atol=1e-4)
        assert float((filters.cut(Genotype({"filter.0": "1110"}))(IMAGES) - net(IMAGES)).abs().max()) > 0.1
