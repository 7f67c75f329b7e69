"""All metrics by name. A name fixes the protocol: any difference in the protocol means another name."""

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
    "ssim_y": "slimgen.metrics.ssim:SSIM_Y",
    "patch_swd": "slimgen.metrics.patch_swd:PATCH_SWD",
    "lpips": "slimgen.metrics.lpips:LPIPS",
    "fid": "slimgen.metrics.frechet:FRECHET",
    "clean_fid": "slimgen.metrics.frechet:CLEAN_FRECHET",
    "fd:<name>": "slimgen.metrics.frechet:FRECHET",
    "kid": "slimgen.metrics.kid:KERNEL",
    "kid:<name>": "slimgen.metrics.kid:KERNEL",
    "kid_subsets": "slimgen.metrics.kid:KERNEL_OF_SUBSETS",
    "kid_subsets:<name>": "slimgen.metrics.kid:KERNEL_OF_SUBSETS",
    "kid_subsets_sd": "slimgen.metrics.kid:SPREAD_OF_SUBSETS",
    "kid_subsets_sd:<name>": "slimgen.metrics.kid:SPREAD_OF_SUBSETS",
    "is": "slimgen.metrics.inception_score:INCEPTION_SCORE",
    "is:<name>": "slimgen.metrics.inception_score:SCORE",
    "is10": "slimgen.metrics.inception_score:INCEPTION_SCORE_OF_SPLITS",
    "is10:<name>": "slimgen.metrics.inception_score:SCORE_OF_SPLITS",
    "is10_sd": "slimgen.metrics.inception_score:INCEPTION_SPREAD_OF_SPLITS",
    "is10_sd:<name>": "slimgen.metrics.inception_score:SPREAD_OF_SPLITS",
    "seg_accuracy:<name>": "slimgen.metrics.segmentation:ACCURACY",
    "seg_class_accuracy:<name>": "slimgen.metrics.segmentation:CLASS_ACCURACY",
    "seg_miou:<name>": "slimgen.metrics.segmentation:MEAN_IOU",
    "seg_map:<name>": "slimgen.metrics.segmentation:MEAN_AVERAGE_PRECISION",
}
"""Name to the import path of its record, which is imported only when it is used."""


def find(metric: str) -> Metric:
    """Return a metric by its name in `METRICS`, with a feature network's name in place of `<name>`.

    Or return a user-defined per-image metric by its import path, `package.module:NAME`.

    Raises:
        RecipeError: no metric has this name, or it cannot be imported from this path.
    """
    family, colon, name = metric.partition(":")
    known = f"{family}:<name>" if colon and name and name != "<name>" else metric
    if known in METRICS and not metric.endswith(":<name>"):
        return cast(Metric, load("metric", METRICS[known]))
    if not (family and name) or family in {one.partition(":")[0] for one in METRICS}:
        raise RecipeError(f"no metric is called {metric!r}", None, nearest(metric, METRICS))
    found = load("metric", metric)
    if not isinstance(found, PerImage):
        raise RecipeError("a user-defined metric must be a slimgen.metrics.kinds.PerImage", f"{metric} = {found!r}")
    return found


def check(metric: str, networks: Networks) -> None:
    """Check that a metric can be opened with the recipe's networks, without loading any: for use before a run.

    Raises:
        RecipeError: no metric has this name, or its network's options are invalid.
        WeightsError: its network's file is missing.
    """
    kind = find(metric)
    if isinstance(kind, PerImage):
        kind.check(networks)
        return
    settings(metric, networks)
    if isinstance(kind, OfSegmentations):
        Palette.read(network_of(metric), networks[network_of(metric)])
