"""How GAN Compression's published implementation judges the candidates of its search: what slimgen is timed against.

Written from its description, not from its text. What belongs to the design: every candidate decodes the images again,
runs them one by one inside the whole supernet in float32, has its MACs counted by one more forward pass, and is judged
by pytorch-fid's own network, `numpy.cov` and `scipy.linalg.sqrtm`.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.peers import MobileResnet, NarrowConv2d, NarrowConvTranspose2d
from slimgen.metrics.inception import import_torchvision

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Mean (d,) and covariance (d, d) of features."""


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Pairs side by side in files, decoded and resized whenever they are asked for: label map, photograph."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        self.files, self.size = files, size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        both = Image.open(self.files[index]).convert("RGB")
        middle, height = both.width // 2, both.height
        photograph = self._tensor(both.crop((0, 0, middle, height)))
        return self._tensor(both.crop((middle, 0, both.width, height))), photograph

    def _tensor(self, image: Image.Image) -> Tensor:
        resized = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.asarray(resized).transpose(2, 0, 1).copy()).float().mul_(2 / 255).sub_(1)


class Judged(NamedTuple):
    """A candidate's value and MACs, and where the seconds went."""

    value: float
    macs: int
    seconds: Mapping[str, float]


class Search:
    """Judges candidates of a supernet, as the published search does.

    Args:
        supernet: with its weights.
        pictures: of the comparison.
        batch: images of a forward pass.
        workers: processes that decode.
        fid: pytorch-fid's network, and the moments of the photographs' features, found once, before the search; None
            judges by PSNR.
    """

    def __init__(
        self,
        supernet: MobileResnet,
        pictures: Pictures,
        *,
        batch: int = 1,
        workers: int = 0,
        fid: tuple[nn.Module, Moments] | None = None,
    ) -> None:
        self.supernet, self.fid, self.batch = supernet.eval(), fid, batch
        self.loader = DataLoader(pictures, batch_size=batch, shuffle=False, num_workers=workers)
        self.example = pictures[0][0][None]

    @torch.no_grad()
    def judge(self, config: Sequence[int]) -> Judged:
        """One candidate."""
        marks = [("", time.perf_counter())]
        self.supernet.set_config(config)
        macs = counted(self.supernet, self.example)
        marks.append(("MACs by a forward pass", time.perf_counter()))
        fakes, reals = [], []
        for condition, target in self.loader:
            fakes.append(self.supernet(condition))
            reals.append(target)
        images = eight_bit(torch.cat(fakes))
        marks.append(("images decoded and generated", time.perf_counter()))
        if self.fid is None:
            value = float(decibels(images, eight_bit(torch.cat(reals))).mean())
            marks.append(("PSNR", time.perf_counter()))
        else:
            inception, real = self.fid
            found = features(inception, images, self.batch)
            marks.append(("Inception", time.perf_counter()))
            value = frechet(moments(found), real)
            marks.append(("covariance and its square root", time.perf_counter()))
        spent = {name: end - start for (_, start), (name, end) in pairwise(marks)}
        return Judged(value, macs, spent)


def eight_bit(images: Tensor) -> Tensor:
    """Whole numbers 0..255: rounded, where the published code cuts off, so that both ways judge by one protocol."""
    return images.add(1).mul(127.5).round().clamp(0, 255)


def decibels(fake: Tensor, real: Tensor) -> Tensor:
    """PSNR of each image."""
    return 10 * torch.log10(255.0**2 / (fake - real).square().mean(dim=(1, 2, 3), dtype=torch.float64))


def counted(net: nn.Module, image: Tensor) -> int:
    """The MACs of one forward pass, by hooks, under GAN Compression's convention."""
    found: list[int] = []

    def hook(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        each = 1
        if isinstance(module, NarrowConv2d | NarrowConvTranspose2d):
            each = (given[0].shape[1] if module.groups == 1 else 1) * module.weight[0, 0].numel()
        found.append(out.numel() * each)

    kinds = NarrowConv2d | NarrowConvTranspose2d | nn.InstanceNorm2d
    hooks = [module.register_forward_hook(hook) for module in net.modules() if isinstance(module, kinds)]
    net(image)
    for handle in hooks:
        handle.remove()
    return sum(found)


def inception_weights() -> dict[str, Tensor]:
    """A state dict in pytorch-fid's format, drawn: features neither grow nor vanish from layer to layer."""
    import_torchvision()
    import torchvision
    from pytorch_fid import inception

    with (
        mock.patch.object(inception, "load_state_dict_from_url", return_value={}),
        mock.patch.object(torchvision.models.Inception3, "load_state_dict"),
    ):
        net = inception.fid_inception_v3()
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    return dict(net.state_dict())


def pytorch_fid(state: Mapping[str, Tensor]) -> nn.Module:
    """pytorch-fid's network in its own form, with these weights in place of the download's."""
    import_torchvision()
    from pytorch_fid import inception

    with mock.patch.object(inception, "load_state_dict_from_url", return_value=state):
        return inception.InceptionV3().eval()


@torch.no_grad()
def features(inception: nn.Module, images: Tensor, batch: int) -> NDArray[np.float64]:
    """Features (N, 2048) of 8-bit images."""
    found = [inception(part / 255)[0].flatten(1) for part in images.split(batch)]
    return torch.cat(found).double().numpy()


def moments(found: NDArray[np.float64]) -> Moments:
    """Mean and covariance of features."""
    return found.mean(0), np.cov(found, rowvar=False)


def frechet(one: Moments, two: Moments) -> float:
    """The Frechet distance straight from its formula."""
    from scipy.linalg import LinAlgWarning, sqrtm

    (mean_a, cov_a), (mean_b, cov_b) = one, two
    with warnings.catch_warnings():
        # Fewer images than features make every product singular, which the trace does not mind.
        warnings.simplefilter("ignore", LinAlgWarning)
        root = sqrtm(cov_a @ cov_b)
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root).real)
