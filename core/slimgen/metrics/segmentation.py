"""Segmentation scores: how well a network finds, in generated images, the classes of their label maps.

The truth is the generator's input. The network is one of the recipe's `evaluate.features`, with two more options:
`classes` maps class names, in the order of the network's outputs, to a colour [red, green, blue] of the label maps or a
list of colours; `tolerance` is the distance that a label map's pixel may have from its colour (0: none).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from slimgen.errors import DataError, RecipeError, WeightsError
from slimgen.metrics.kinds import OfSegmentations
from slimgen.metrics.pixels import eight_bit

NONE = -1


@dataclass(frozen=True)
class Palette:
    """The colours of K classes in label maps; classes are in the order of the network's outputs.

    Attributes:
        names: of the classes.
        colours: each colour with the number of its class.
        tolerance: the Euclidean distance in 8-bit levels up to which a pixel belongs to its nearest colour.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[tuple[int, int, int], int], ...]
    tolerance: float = 0.0

    @staticmethod
    def read(name: str, options: Mapping[str, object]) -> "Palette":
        """Read a network's palette from its options in the recipe; raise RecipeError where they are invalid."""
        classes, tolerance = options.get("classes"), options.get("tolerance", 0)
        if not isinstance(classes, Mapping) or len(classes) < 2:
            raise RecipeError(
                f"feature network {name} needs classes to score segmentations",
                repr(classes),
                "give each class a colour [red, green, blue] of the label maps, in the order of the network's outputs",
            )
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance >= 0:
            rule = f"tolerance of feature network {name} must be a distance in 8-bit levels, at least 0"
            raise RecipeError(rule, repr(tolerance))
        colours = [(colour, k) for k, value in enumerate(classes.values()) for colour in _colours(name, value)]
        if len({colour for colour, _ in colours}) < len(colours):
            raise RecipeError(f"the colours of feature network {name} must all differ", repr(dict(classes)))
        return Palette(tuple(map(str, classes)), tuple(colours), float(tolerance))

    def label(self, maps: Tensor) -> Tensor:
        """Return the class of each pixel of label maps: int16 (N, H, W); `NONE` where no colour is near enough.

        Args:
            maps: in [-1, 1]: RGB (N, 3, H, W); or grey levels (N, 1, H, W), which count as colours of three equal
                values; or (N, 2, H, W), grey levels and the edges of instances, which are ignored.

        Raises:
            DataError: the maps have other channels, or no pixel has a colour of the palette.
        """
        if maps.shape[1] not in (1, 2, 3):
            raise DataError("label maps must have one channel, one and edges, or three", f"{maps.shape[1]}")
        maps = maps if maps.shape[1] == 3 else maps[:, :1]
        nearest = torch.full((len(maps), *maps.shape[-2:]), math.inf, device=maps.device)
        found = torch.full(nearest.shape, NONE, dtype=torch.int16, device=maps.device)
        levels = eight_bit(maps)
        for colour, index in self.colours:
            distance = (levels - levels.new_tensor(colour)[:, None, None]).square_().sum(1)
            closer = distance < nearest
            nearest[closer], found[closer] = distance[closer], index
        found[nearest > self.tolerance**2] = NONE
        if not bool((found != NONE).any()):
            raise DataError(
                "label maps, the generator's inputs, must have the colours of classes in evaluate.features",
                "no such pixel",
                "check the colours and data.direction, or allow a tolerance",
            )
        return found

    def says(self, labels: Tensor) -> str:
        """Return the protocol's text about the truth."""
        share = float((labels != NONE).double().mean())
        colours = ", ".join(f"{self.names[index]} {'-'.join(map(str, colour))}" for colour, index in self.colours)
        return f"truth within {self.tolerance:g} levels of {colours} in the input, {share:.4%} of its pixels"


def confusion(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the confusion matrix of each image: float64 (N, K, K), rows the truth, columns the prediction.

    Scores are enlarged bilinearly to the label maps' size; the largest is the prediction.

    Args:
        logits: (N, K, h, w).
        labels: (N, H, W), whole numbers below K, or `NONE` where a pixel does not count.
        classes: K.

    Raises:
        WeightsError: the network returned another shape.
    """
    if logits.dim() != 4 or logits.shape[1] != classes:
        raise WeightsError(
            f"a segmentation network with {classes} classes must return (N, {classes}, h, w)", f"{tuple(logits.shape)}"
        )
    if logits.shape[-2:] != labels.shape[-2:]:
        logits = functional.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    predicted, truth = logits.argmax(1).flatten(1), labels.flatten(1).long()
    cells = classes * classes
    counts = []
    for mine, true in zip(predicted, truth, strict=True):
        counted = true != NONE
        counts.append(torch.bincount(true[counted] * classes + mine[counted], minlength=cells))
    return torch.stack(counts).view(-1, classes, classes).double()


def accuracy(counts: Tensor) -> float:
    """Return the share of pixels recognised (Long et al. 2015, section 5): `seg_accuracy:<name>`; see `confusion`."""
    return float(counts.diagonal().sum() / counts.sum())


def class_accuracy(counts: Tensor) -> float:
    """Return the share of pixels recognised, averaged over the classes that occur: `seg_class_accuracy:<name>`."""
    truth = counts.sum(1)
    return float((counts.diagonal() / truth)[truth > 0].mean())


def mean_iou(counts: Tensor) -> float:
    """Return the mean IoU, `seg_miou:<name>`; a class that is neither in the truth nor predicted does not count."""
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return float((counts.diagonal() / union)[union > 0].mean())


def mean_average_precision(counts: Tensor) -> float:
    """Return the mAP of GAN Compression (Li et al. 2020, section 4.2), in per cent: `seg_map:<name>`.

    It is not an average precision: the evaluator of its segmentation network DRN (Yu et al. 2017) uses that name for
    100 times the mean intersection over union.
    """
    return 100 * mean_iou(counts)


ACCURACY = OfSegmentations("max", accuracy, "share of pixels recognised")
CLASS_ACCURACY = OfSegmentations("max", class_accuracy, "mean over classes of the share recognised")
MEAN_IOU = OfSegmentations("max", mean_iou, "mean over classes of intersection over union")
MEAN_AVERAGE_PRECISION = OfSegmentations("max", mean_average_precision, "100 x mean intersection over union")


def _colours(name: str, value: object) -> list[tuple[int, int, int]]:
    """Parse one colour or several."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        found = [value] if isinstance(value[0], int) else list(value)
        if all(_is_colour(colour) for colour in found):
            return [(int(red), int(green), int(blue)) for red, green, blue in found]
    raise RecipeError(
        f"a class of feature network {name} must be a colour, three levels 0..255, or a list of colours", repr(value)
    )


def _is_colour(value: object) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        return False
    return all(isinstance(level, int) and not isinstance(level, bool) and 0 <= level <= 255 for level in value)
