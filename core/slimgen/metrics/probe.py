"""Metrics tried on a few pictures before anything is trained: above all the networks that others made."""

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
"""Features: the statistics of so many take 2 GiB, and the square root of their product hours."""
_CPU = torch.device("cpu")


def probe(metrics: Sequence[str], networks: Networks, size: tuple[int, int, int]) -> None:
    """Measures pictures (channels, height, width) that are drawn at random, once in each process.

    Raises:
        RecipeError, WeightsError: a metric that cannot be measured, or whose network returns what it cannot use.
        DataError: pictures that are too small for a metric.
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
        raise WeightsError(f"{name} returns 1 to {WIDEST:,} features", f"{features.shape[1]:,}", "pool them first")
    if not bool(features.isfinite().all()):
        raise WeightsError(f"{name} returns finite numbers", "NaN or infinity", "check its size, mean and std")
    if bool((features == features[:1]).all()):
        raise WeightsError(
            f"{name} tells pictures apart", "the same features of all", "check its weights, mean and std"
        )


def _made(metric: str, network: FeatureNetwork, pictures: Tensor) -> Tensor:
    try:
        return network.raw(pictures)
    except SlimgenError:
        raise
    except Exception as error:  # a network that is not ours fails in its own way
        name = network_of(metric)
        hint = f"set evaluate.features.{name}.size to the pixels that it takes"
        rule = f"the feature network {name} takes pictures of {_words(pictures)}"
        raise WeightsError(rule, reason(error), hint) from error


def _try_pairs(metric: str, kind: PerImage, networks: Networks, pictures: Tensor) -> None:
    opened = kind.open(networks, _CPU)
    try:
        values = opened.function(pictures[1:].clone(), pictures[:2].clone())
    except SlimgenError:
        raise
    except (Exception, SystemExit) as error:  # a metric that is not ours fails in its own way
        got = f"{type(error).__name__}: {reason(error)}"
        raise RecipeError(f"the metric {metric} compares pictures of {_words(pictures)}", got) from error
    if not (isinstance(values, Tensor) and values.shape == (2,)):
        got = f"{tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise RecipeError(f"the metric {metric} returns one value for each pair of pictures, (N,)", got)
    if not bool(values.isfinite().all()):
        raise RecipeError(f"the metric {metric} returns finite numbers", str(values.tolist()))


def _words(pictures: Tensor) -> str:
    return " x ".join(map(str, pictures.shape[1:]))
