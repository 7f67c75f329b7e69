"""Variants of an exported file in other number formats, and which of them is recommended."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ALIKE = 0.1
"""Latencies that differ by a smaller share count as equal."""
LEAST = {"psnr": -0.1, "psnr_y": -0.1}
"""The change of quality that a recommended variant may have, where a recipe names none."""
SHARE = 0.01
"""Likewise, as a share of the value in float32, of a recipe's first metric where none of the others is measured."""


@dataclass(frozen=True)
class Variant:
    """An exported file in one number format, and what was measured of it.

    Attributes:
        name: fp32, fp16 or int8.
        file: name of the file, beside the card.
        bytes: its size.
        quality: values on the test images in onnxruntime, by metric; empty if not measured.
        change: the values minus those of fp32.
        p50_ms: median milliseconds per image in onnxruntime, in turns with the other variants; None if not measured.
        p95_ms: 95th percentile of the milliseconds; None if not measured.
        max_abs: largest difference from the PyTorch network's outputs, of a range of [-1, 1].
        recommended: whether it is the fastest one whose change of quality is tolerated.
    """

    name: str
    file: str
    bytes: int
    quality: Mapping[str, float] = field(default_factory=dict)
    change: Mapping[str, float] = field(default_factory=dict)
    p50_ms: float | None = None
    p95_ms: float | None = None
    max_abs: float | None = None
    recommended: bool = False

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Variant":
        """Return the variant of a card's JSON, where values that are no numbers were written as null."""
        values = {
            name: {metric: math.nan if value is None else value for metric, value in record[name].items()}
            for name in ("quality", "change")
        }
        return cls(**{**record, **values})


def change_of(quality: Mapping[str, float], plain: Mapping[str, float]) -> dict[str, float]:
    """Return the values of a variant minus those of fp32, by metric."""
    return {metric: value - plain[metric] for metric, value in quality.items() if metric in plain}


def tolerated(
    change: Mapping[str, float], plain: Mapping[str, float], goals: Mapping[str, str], tolerance: Mapping[str, float]
) -> bool:
    """Return whether a change of quality is within a tolerance.

    Args:
        change: by metric.
        plain: the values of fp32.
        goals: `min` or `max` by metric, whichever is better.
        tolerance: by metric, the change allowed for the worse: negative where more is better. Without one, `LEAST` of
            the measured metrics counts, or `SHARE` of the first metric.
    """
    limits = dict(tolerance) or {metric: limit for metric, limit in LEAST.items() if metric in change}
    if not limits and change:
        first = next(iter(change))
        limits = {first: abs(plain[first]) * SHARE * (-1 if goals.get(first) == "max" else 1)}
    for metric, limit in limits.items():
        found = change.get(metric, math.nan)
        if not (found >= limit if goals.get(metric) == "max" else found <= limit):
            return False
    return True


def recommended(variants: Sequence[Variant], goals: Mapping[str, str], tolerance: Mapping[str, float]) -> str:
    """Return the name of the fastest variant whose change of quality is tolerated; of equally fast ones the smallest.

    fp32, the first, is always allowed. See `tolerated`.
    """
    plain = variants[0]
    allowed = [one for one in variants if one is plain or tolerated(one.change, plain.quality, goals, tolerance)]
    timed = [one.p50_ms for one in allowed if one.p50_ms is not None]
    if len(timed) < len(allowed):
        return plain.name
    fast = [one for one in allowed if (one.p50_ms or 0.0) <= (1 + ALIKE) * min(timed)]
    return min(fast, key=lambda one: one.bytes).name
