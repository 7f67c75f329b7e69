"""All metrics by name. A name fixes the protocol: what differs in any way has another name."""

from typing import cast

from slimgen.errors import RecipeError, nearest
from slimgen.imports import load
from slimgen.metrics.features import network_of, settings
from slimgen.metrics.kinds import Metric, Networks, OfSegmentations, PerImage
from slimgen.metrics.segmentation import Palette

METRICS = {
    "psnr": "slimgen.metrics.psnr:PSNR",
    "psnr_y": "slimgen.metrics.psnr:PSNR_Y",
    "ssim": "slimgen.metrics.ssim:SSIM",
    "patch_swd": "slimgen.metrics.patch_swd:PATCH_SWD",
    "lpips": "slimgen.metrics.lpips:LPIPS",
    "fid": "slimgen.metrics.frechet:FRECHET",
    "fd:<name>": "slimgen.metrics.frechet:FRECHET",
    "kid": "slimgen.metrics.kid:KERNEL",
    "kid:<name>": "slimgen.metrics.kid:KERNEL",
    "is": "slimgen.metrics.inception_score:INCEPTION_SCORE",
    "is:<name>": "slimgen.metrics.inception_score:SCORE",
    "seg_accuracy:<name>": "slimgen.metrics.segmentation:ACCURACY",
    "seg_class_accuracy:<name>": "slimgen.metrics.segmentation:CLASS_ACCURACY",
    "seg_miou:<name>": "slimgen.metrics.segmentation:MEAN_IOU",
    "seg_map:<name>": "slimgen.metrics.segmentation:MEAN_AVERAGE_PRECISION",
}
"""Name to the import path of its record; imported only when it is asked for."""


def find(metric: str) -> Metric:
    """The metric of a name of `METRICS`, with a feature network's name in the place of `<name>`.

    Or one at the import path of a user-defined metric of single images, `package.module:NAME`.

    Raises:
        RecipeError: no metric has that name, or nothing can be imported from that path.
    """
    family, colon, name = metric.partition(":")
    known = f"{family}:<name>" if colon and name and name != "<name>" else metric
    if known in METRICS and not metric.endswith(":<name>"):
        return cast(Metric, load("metric", METRICS[known]))
    if not (family and name) or family in {one.partition(":")[0] for one in METRICS}:
        raise RecipeError("metrics are known by name", repr(metric), nearest(metric, METRICS))
    found = load("metric", metric)
    if not isinstance(found, PerImage):
        raise RecipeError("a user-defined metric is a PerImage of slimgen.metrics.kinds", f"{metric} = {found!r}")
    return found


def check(metric: str, networks: Networks) -> None:
    """Whether a metric can be opened with the recipe's networks, without loading any: to be asked before a run begins.

    Raises:
        RecipeError: no metric has that name, or its network's options make no sense.
        WeightsError: its network's file is missing.
    """
    kind = find(metric)
    if isinstance(kind, PerImage):
        kind.check(networks)
        return
    settings(metric, networks)
    if isinstance(kind, OfSegmentations):
        Palette.read(network_of(metric), networks[network_of(metric)])
