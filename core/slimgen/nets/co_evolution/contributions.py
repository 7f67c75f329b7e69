"""What each channel adds to the layers that read it: the measure by which ThiNet chooses channels (Luo et al. 2017).

A convolution is a sum over its inputs: y = sum_c z_c, where z_c is what channel c adds (section 3.2.1). If z has a row
for each channel and a column for each sampled output value, then without the channels T the layer's output changes by
|sum_T z_c|^2, a sum over the T x T part of the Gram matrix z z^T. So the Gram matrices of all layers, from one run, are
all that a greedy choice (Algorithm 1) and the least squares after it (Eq. 7) need.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.co_evolution.layers import Convolution, channels_of
from slimgen.search import Genotype

SAMPLED = 512  # output values of each layer and image
RIDGE = 1e-6  # relative to the mean of the Gram matrix's diagonal
Grams = Mapping[str, Tensor]
"""Gram matrices (filters, filters), float64, by dimension and reading layer: `filter.model-1/model.4`."""


@torch.no_grad()
def grams(filters: FilterSpace, images: Sequence[Tensor], seed: int) -> dict[str, Tensor]:
    """Return the Gram matrices of what each filter's channels add to each dense layer that reads them.

    Args:
        filters: the original and its filters, in evaluation mode.
        images: inputs (N, C, H, W), batch by batch, on the original's device.
        seed: of the output values that are sampled.
    """
    readers = filters.readers()
    found: dict[str, Tensor] = {}
    for number, batch in enumerate(images):
        rng = torch.Generator().manual_seed(seed + number)
        hooks = []

        def hook(name: str, rng: torch.Generator) -> Any:
            def watch(module: nn.Module, given: tuple[Tensor, ...]) -> None:
                for key, places in readers[name].items():
                    parts = _parts(module, given[0], places, rng)
                    gram = parts @ parts.T
                    found[f"{key}/{name}"] = found.get(f"{key}/{name}", 0) + gram.cpu()

            return watch

        for name in readers:
            hooks.append(filters.net.get_submodule(name).register_forward_pre_hook(hook(name, rng)))
        try:
            filters.net(batch)
        finally:
            for each in hooks:
                each.remove()
    return found


def _parts(module: nn.Module, given: Tensor, places: Sequence[Sequence[int]], rng: torch.Generator) -> Tensor:
    """Return what the channels of each filter add to sampled outputs of a layer: float64 (filters, values)."""
    rows, chosen = [], None
    for each in places:
        if isinstance(module, nn.Linear):
            made = functional.linear(given[..., list(each)], module.weight[:, list(each)])
        else:
            made = _convolved(module, given[:, list(each)], list(each))
        flat = made.reshape(-1)
        if chosen is None:
            count = SAMPLED * len(given)
            every = torch.randperm(len(flat), generator=rng) if len(flat) <= 4 * count else None
            chosen = torch.randint(len(flat), (count,), generator=rng) if every is None else every[:count]
            chosen = chosen.to(flat.device)
        rows.append(flat[chosen].double())
    return torch.stack(rows)


def _convolved(module: nn.Module, given: Tensor, places: list[int]) -> Tensor:
    how: dict[str, Any] = {"stride": module.stride, "dilation": module.dilation}
    if isinstance(module, nn.ConvTranspose2d):
        how |= {"padding": module.padding, "output_padding": module.output_padding}
        return functional.conv_transpose2d(given, module.weight[places], **how)
    assert isinstance(module, nn.Conv2d)
    if module.padding_mode == "zeros":
        return functional.conv2d(given, module.weight[:, places], padding=module.padding, **how)
    padded = functional.pad(given, module._reversed_padding_repeated_twice, mode=module.padding_mode)
    return functional.conv2d(padded, module.weight[:, places], **how)


def orders(filters: FilterSpace, found: Grams) -> dict[str, list[int]]:
    """Return the filters of each dimension, the last that a greedy choice removes first (ThiNet, Algorithm 1).

    The channel whose removal, beside those removed before, changes the reading layers least goes next. A layer's error
    counts relative to its output, so that of several readers none outweighs the others. A dimension that no dense
    layer reads keeps the order of `FilterSpace.strengths`.
    """
    ranked = filters.ranked()
    for name in filters.space:
        shares = [gram / gram.sum().abs().clamp(min=1e-30) for key, gram in found.items() if key.split("/")[0] == name]
        if not shares:
            continue
        gram = torch.stack(shares).sum(0)
        left, error, removed = list(range(len(gram))), gram.diagonal().clone(), list[int]()
        while left:
            place = min(left, key=lambda at: (float(error[at]), at))
            left.remove(place)
            removed.append(place)
            error += 2 * gram[place]  # |sum_T + z_c|^2 = |sum_T|^2 + 2 z_c . sum_T + |z_c|^2
        ranked[name] = removed[::-1]
    return ranked


@torch.no_grad()
def compensated(filters: FilterSpace, found: Grams, genotype: Genotype) -> nn.Module:
    """Return the cut generator, the remaining inputs of each layer scaled so that its output changes least (Eq. 7).

    The scales w minimise |y - sum_S w_c z_c|^2 over the kept channels S: w = (z z^T)_SS^-1 (z z^T)_S,all 1. Each
    dimension that a layer reads is fitted by itself; where the system is singular, its scales are 1.
    """
    net = filters.cut(genotype)
    for name, dimensions in filters.readers().items():
        layer = net.get_submodule(name)
        assert isinstance(layer, Convolution | nn.Linear)
        count, _ = channels_of(filters.net.get_submodule(name))
        scale, stays = torch.ones(count, dtype=torch.float64), torch.ones(count, dtype=torch.bool)
        for key, places in dimensions.items():
            bits = torch.tensor([bit == "1" for bit in str(genotype[key])])
            weights = _scales(found[f"{key}/{name}"], bits)
            for each, bit, weight in zip(places, bits.tolist(), weights.tolist(), strict=True):
                scale[list(each)], stays[list(each)] = weight, bit
        kept = scale[stays].to(layer.weight)
        axis = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
        layer.weight.mul_(kept.reshape([-1 if side == axis else 1 for side in range(layer.weight.dim())]))
    return net


def _scales(gram: Tensor, bits: Tensor) -> Tensor:
    """Return the scale of each kept channel, and 1 for the others."""
    scales = torch.ones(len(gram), dtype=torch.float64)
    if bool(bits.all()):
        return scales
    inside = gram[bits][:, bits]
    ridge = RIDGE * float(inside.diagonal().mean()) + 1e-30
    solved, info = torch.linalg.solve_ex(inside + ridge * torch.eye(len(inside)), gram[bits].sum(1))
    if not int(info) and bool(solved.isfinite().all()):
        scales[bits] = solved
    return scales
