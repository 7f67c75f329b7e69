"""A trial of the metrics, and above all of user-defined networks, on a few pictures before training starts."""

import json
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from slimgen.errors import RecipeError, SlimgenError, WeightsError, reason
from slimgen.metrics.features import FeatureNetwork, network_of, open_features
from slimgen.metrics.kinds import Networks, OfSegmentations, PerImage
from slimgen.metrics.registry import check, find
from slimgen.metrics.segmentation import Palette, confusion

WIDEST = 1 << 14
"""The most features: their statistics take 2 GiB, and the square root of a product of covariances takes hours."""
_CPU = torch.device("cpu")


def probe(metrics: Sequence[str], networks: Networks, size: tuple[int, int, int]) -> None:
    """Measure random pictures of this size (channels, height, width), once in each process.

    Raises:
        RecipeError, WeightsError: a metric cannot be measured, or cannot use its network's output.
        DataError: the pictures are too small for a metric.
    """
    known = json.dumps(networks, sort_keys=True, default=str)
    for metric in dict.fromkeys(metrics):
        _probed(metric, known, size)


@cache
def _probed(metric: str, known: str, size: tuple[int, int, int]) -> None:
    networks, kind = json.loads(known), find(metric)
    check(metric, networks)
    drawn = torch.Generator().manual_seed(0)
    pictures = torch.cat([torch.zeros(1, *size), torch.rand((2, *size), generator=drawn) * 2 - 1])
    with torch.inference_mode():
        if isinstance(kind, PerImage):
            _try_pairs(metric, kind, networks, pictures)
            return
        network = open_features(metric, networks, _CPU)
        made = _made(metric, network, pictures)
        if isinstance(kind, OfSegmentations):
            classes = len(Palette.read(network_of(metric), networks[network_of(metric)]).names)
            confusion(made, torch.zeros((len(made), *size[1:]), dtype=torch.int16), classes)
            return
        features = network.pooled(made)
    name = f"the feature network of {metric}"
    if not 1 <= features.shape[1] <= WIDEST:
        raise WeightsError(f"{name} must return 1 to {WIDEST:,} features", f"{features.shape[1]:,}", "pool them first")
    if not bool(features.isfinite().all()):
        raise WeightsError(f"{name} must return finite numbers", "NaN or infinity", "check its size, mean and std")
    if bool((features == features[:1]).all()):
        raise WeightsError(
            f"{name} must distinguish pictures", "the same features for all", "check its weights, mean and std"
        )


def _made(metric: str, network: FeatureNetwork, pictures: Tensor) -> Tensor:
    try:
        return network.raw(pictures)
    except SlimgenError:
        raise
    except Exception as error:  # a user's network may raise anything
        name = network_of(metric)
        hint = f"set evaluate.features.{name}.size to the size that it takes"
        rule = f"the feature network {name} must take pictures of {_words(pictures)}"
        raise WeightsError(rule, reason(error), hint) from error


def _try_pairs(metric: str, kind: PerImage, networks: Networks, pictures: Tensor) -> None:
    opened = kind.open(networks, _CPU)
    try:
        values = opened.function(pictures[1:].clone(), pictures[:2].clone())
    except SlimgenError:
        raise
    except (Exception, SystemExit) as error:  # a user's metric may raise anything
        got = f"{type(error).__name__}: {reason(error)}"
        raise RecipeError(f"the metric {metric} must compare pictures of {_words(pictures)}", got) from error
    if not (isinstance(values, Tensor) and values.shape == (2,)):
        got = f"{tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise RecipeError(f"the metric {metric} must return one value for each pair of pictures, (N,)", got)
    if not bool(values.isfinite().all()):
        raise RecipeError(f"the metric {metric} must return finite numbers", str(values.tolist()))


def _words(pictures: Tensor) -> str:
    return " x ".join(map(str, pictures.shape[1:]))
