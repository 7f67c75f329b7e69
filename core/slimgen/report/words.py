"""Numbers and names in the form that people read."""

import math
from collections.abc import Mapping

from slimgen.files import REVERSE
from slimgen.text import three

REAL = "real pictures"
"""Row of the real images, for metrics whose value on them is not known in advance."""
GENERATORS = {
    "original": "the generator that was compressed",
    "found": "the generator that the search found, after training",
    "narrowed": "the original's family, narrowed to the found generator's size",
    "narrowed_latency": "the original's family, narrowed to the found generator's latency",
    "naive": "the original's family, narrowed likewise, trained on two sets without the original's outputs",
    "by_hand": "a hand-made design of the found generator's size",
    "random": "drawn at random from the searched space, within the same limits",
    "random_path": "drawn at random from the found path, within the same limits",
    "halving": "the best random architecture by successive halving, with the found generator's training MACs",
    "magnitude": "the original without its smallest filters, at the found generator's size",
    "greedy": "the original without the filters that the next layers miss least (ThiNet), at the found one's size",
    "published": "the architecture that its authors published",
    "adopted": "trained elsewhere, and used unchanged",
    REAL: "the real images, scored by the metric's network",
    "bicubic": "the inputs enlarged by interpolation, without a network",
}
"""Explanations of a table's rows; rivals of one kind are numbered."""
COSTS = {"macs": "MACs", "params": "parameters", "bytes": "of weights", "latency_ms": "ms (predicted)"}
"""Printed names of the costs that a budget may limit, to follow a number and its unit."""
STEPS = {"even": "even widths", "argmax": "likeliest choices", "": "search"}
"""Printed names of a search's steps whose own names do not speak for themselves."""
NAMES = {
    **{"psnr": "PSNR", "psnr_y": "PSNR-Y", "ssim": "SSIM", "ssim_y": "SSIM-Y", "patch_swd": "patch SWD"},
    **{"log_probability": "log-probability", "distance": "distance from the original"},
    **{"fid": "FID", "clean_fid": "clean FID", "kid": "KID", "is": "IS", "lpips": "LPIPS"},
    **{"is10": "IS of 10 splits", "is10_sd": "deviation of IS"},
    **{"kid_subsets": "KID of subsets", "kid_subsets_sd": "deviation of KID"},
}


def arrow(goal: object) -> str:
    """Return an arrow for the better direction of a goal `min` or `max`; empty if it is unknown."""
    return {"min": "↓", "max": "↑"}.get(str(goal), "")


def generator(name: str) -> str:
    """Return the meaning of a row's name, for rivals their origin; empty if unknown."""
    forward = name.removesuffix(REVERSE)
    words = GENERATORS.get(kind_of(forward), "")
    return f"{words}, in the reverse direction" if words and forward != name else words


def kind_of(name: str) -> str:
    """Return the kind of generator that a row's name means, with its direction: rivals of one kind are numbered."""
    forward = name.removesuffix(REVERSE)
    return f"{forward.rstrip('0123456789')}{REVERSE if forward != name else ''}"


def title(metric: str) -> str:
    """Return a metric's printed name; that of its mean over a named set of test images has the set's name after it."""
    name, slash, group = metric.partition("/")
    return f"{title(name)} {group}" if slash and name in NAMES else NAMES.get(metric, metric)


def step(name: str) -> str:
    """Return the printed name of a step of a search."""
    return STEPS.get(name, name)


def stopping(metrics: Mapping[str, object]) -> str:
    """Return how the training of an original ended if it was stopped early, from its stage's metrics; else empty."""
    if "stopped_improving" not in metrics:
        return ""
    updates, best, stalled = (number(metrics[key]) for key in ("updates", "best_update", "stopped_improving"))
    by = next((title(key.removeprefix("val_")) for key in metrics if key.startswith("val_")), "its metric")
    if stalled == "0":
        said = f"ran its {updates} updates while still improving"
    elif stalled == best:
        said = f"stopped improving at {stalled} updates of the {updates} that it ran"
    else:
        said = (
            f"stopped improving at {stalled} updates, and improved again as its rate fell, in the {updates} that it ran"
        )
    return f"original: by {by} of the validation images it {said}; its weights are those of update {best}"


def quality(value: float | None) -> str:
    """Return four significant digits: 21.34, 0.8123."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def size(value: float) -> str:
    """Return bytes in their largest unit: 43.4 MiB."""
    for unit, letters in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= 0.9995 * unit:
            return f"{three(value / unit)} {letters}"
    return f"{value:.0f} B"


def factor(before: float | None, after: float | None) -> str:
    """Return how many times smaller a value is: 8.4x; empty if there is nothing to compare with."""
    return f"{three(before / after)}x" if before and after else ""


def against(before: float | None, after: float | None, less: str = "faster", more: str = "slower") -> str:
    """Return `faster: 2.4 times` or `slower than the original: 1.9 times`; empty if a value is missing.

    If the factor rounds to 1.0, it returns `as the original`.
    """
    if not before or not after:
        return ""
    times = max(before, after) / min(before, after)
    shown = f"{times:.0f}" if times >= 9.95 else f"{times:.1f}"
    if shown == "1.0":
        return "as the original"
    return f"{less if after < before else f'{more} than the original'}: {shown} times"


def number(value: object) -> str:
    """Return a value for people: whole numbers in groups of three, others with four digits, nested ones on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {number(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else str(value)
    if not math.isfinite(value):
        return "-"
    if value == int(value):
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.3g}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def seconds(value: object) -> str:
    """Return a duration for people: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return number(value)
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
