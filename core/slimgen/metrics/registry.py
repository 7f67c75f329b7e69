"""All metrics by name. A name fixes the protocol: what differs in any way has another name."""

from slimgen.errors import RecipeError, nearest
from slimgen.metrics.features import network_of, settings
from slimgen.metrics.frechet import Statistics, frechet
from slimgen.metrics.inception_score import inception_score
from slimgen.metrics.kid import KernelSide, kernel
from slimgen.metrics.kinds import Goal, Metric, Networks, OfFeatures, OfSegmentations, PerImage, plain
from slimgen.metrics.lpips import check_lpips, open_lpips
from slimgen.metrics.psnr import psnr, psnr_y
from slimgen.metrics.segmentation import Palette, accuracy, class_accuracy, mean_average_precision, mean_iou
from slimgen.metrics.ssim import ssim

KERNEL = "unbiased squared MMD with kernel (x.y/d + 1)^3 over all images at once"
SCORE = "exp(mean KL(p(y|x) || p(y))) in one split"

METRICS: dict[str, Metric] = {
    "psnr": PerImage("max", plain(psnr)),
    "psnr_y": PerImage("max", plain(psnr_y)),
    "ssim": PerImage("max", plain(ssim)),
    "lpips": PerImage("min", open_lpips, "LPIPS 0.1, mean over the images"),
    "fid": OfFeatures("min", frechet, Statistics),
    "fd:<name>": OfFeatures("min", frechet, Statistics),
    "kid": OfFeatures("min", kernel, KernelSide, says=KERNEL),
    "kid:<name>": OfFeatures("min", kernel, KernelSide, says=KERNEL),
    "is": OfFeatures("max", inception_score, logits=True, says=f"{SCORE}, Inception's 1008 scores without bias"),
    "is:<name>": OfFeatures("max", inception_score, logits=True, says=SCORE),
    "seg_accuracy:<name>": OfSegmentations("max", accuracy, "share of pixels recognised"),
    "seg_class_accuracy:<name>": OfSegmentations("max", class_accuracy, "mean over classes of the share recognised"),
    "seg_miou:<name>": OfSegmentations("max", mean_iou, "mean over classes of intersection over union"),
    "seg_map:<name>": OfSegmentations("max", mean_average_precision, "100 x mean intersection over union"),
}


def find(metric: str) -> Metric:
    """The metric of a name.

    Args:
        metric: a name of `METRICS`, with a feature network's name in the place of `<name>`.

    Raises:
        RecipeError: no metric has that name.
    """
    family, colon, network = metric.partition(":")
    known = f"{family}:<name>" if colon and network and network != "<name>" else metric
    if known not in METRICS or metric.endswith(":<name>"):
        raise RecipeError("metrics are known by name", repr(metric), nearest(metric, METRICS))
    return METRICS[known]


def goal(metric: str) -> Goal:
    """Whether a smaller or a larger value of a metric is better: `min` or `max`.

    Raises:
        RecipeError: no metric has that name.
    """
    return find(metric).goal


def check(metric: str, networks: Networks) -> None:
    """Whether a metric can be opened with the recipe's networks, without loading any: to be asked before a run begins.

    Raises:
        RecipeError: no metric has that name, or its network's options make no sense.
        WeightsError: its network's file is missing.
    """
    kind = find(metric)
    if metric == "lpips":
        check_lpips(networks)
    elif not isinstance(kind, PerImage):
        settings(metric, networks)
        if isinstance(kind, OfSegmentations):
            name = network_of(metric)
            Palette.read(name, networks[name])
