"""The evaluation of candidates in GAN Compression's published search, against which slimgen is timed.

It is written from the paper's description, not from its code. The design: for every candidate the images are decoded
again, run one by one through the whole supernet in float32, the MACs are counted by an additional forward pass, and the
distance is computed with pytorch-fid's network, `numpy.cov` and `scipy.linalg.sqrtm`.
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
    """Side-by-side pairs in files, decoded and resized at every access: label map, photograph."""

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
    """A candidate's value and MACs, and the seconds by part."""

    value: float
    macs: int
    seconds: Mapping[str, float]


class Search:
    """The published evaluation of a supernet's candidates.

    Args:
        supernet: with its weights.
        pictures: of the comparison.
        batch: images per forward pass.
        workers: decoding processes.
        fid: pytorch-fid's network, and the moments of the photographs' features, computed once before the search; None
            evaluates by PSNR.
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
    """Round to whole numbers 0..255; the published code truncates, but both ways must use one protocol."""
    return images.add(1).mul(127.5).round().clamp(0, 255)


def decibels(fake: Tensor, real: Tensor) -> Tensor:
    """Return the PSNR of each image."""
    return 10 * torch.log10(255.0**2 / (fake - real).square().mean(dim=(1, 2, 3), dtype=torch.float64))


def counted(net: nn.Module, image: Tensor) -> int:
    """Count the MACs of one forward pass by hooks, under GAN Compression's convention."""
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
    """Draw a state dict in pytorch-fid's format, whose features neither grow nor vanish from layer to layer."""
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
    """Build pytorch-fid's network unchanged, with these weights in place of the download."""
    import_torchvision()
    from pytorch_fid import inception

    with mock.patch.object(inception, "load_state_dict_from_url", return_value=state):
        return inception.InceptionV3().eval()


@torch.no_grad()
def features(inception: nn.Module, images: Tensor, batch: int) -> NDArray[np.float64]:
    """Return features (N, 2048) of 8-bit images."""
    found = [inception(part / 255)[0].flatten(1) for part in images.split(batch)]
    return torch.cat(found).double().numpy()


def moments(found: NDArray[np.float64]) -> Moments:
    """Return mean and covariance of features."""
    return found.mean(0), np.cov(found, rowvar=False)


def frechet(one: Moments, two: Moments) -> float:
    """Return the Frechet distance directly from its formula."""
    from scipy.linalg import LinAlgWarning, sqrtm

    (mean_a, cov_a), (mean_b, cov_b) = one, two
    with warnings.catch_warnings():
        # With fewer images than features every product is singular, which does not affect the trace.
        warnings.simplefilter("ignore", LinAlgWarning)
        root = sqrtm(cov_a @ cov_b)
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root).real)
