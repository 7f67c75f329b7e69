"""Labels of measured values and of a budget's limits, as the report prints them."""

from collections.abc import Mapping

from slimgen.report.words import COSTS, number, seconds, size, step, title

WORDS = {
    "band": "architectures whose cost is near the limit",
    "bits": "filters that may be cut",
    "bytes": "weights of the winner",
    "channels": "architectures of the channel step",
    "entropy": "mean entropy of the choices, in nats",
    "evaluations": "architectures evaluated",
    "input_images": "training images of the input",
    "judged_after": "updates after which the repeats were compared",
    "latency_error_max": "largest error of predicted milliseconds",
    "latency_error_median": "median error of predicted milliseconds",
    "latency_measured_ms": "milliseconds of the winner, measured in onnxruntime",
    "latency_ms": "milliseconds of the winner, predicted",
    "left_early": "of these, stopped early because a rival was far better",
    "macs": "MACs of the winner",
    "operators": "architectures of the operator step",
    "params": "parameters of the winner",
    "pareto": "of these, on the Pareto front",
    "paths": "architectures of the path step",
    "pictures": "training images used for candidates",
    "reverse_share": "share of the parameters in the reverse direction",
    "space_size": "architectures in the space",
    "sum_of_directions": "share of weights and losses, summed over both directions (Eq. 8)",
    "target_images": "training images of the target",
    "total_params": "parameters of both directions",
    "training_macs": "MACs of training candidates",
    "updates": "updates of candidates",
    "val_log_probability": "log-probability of the winner, under the trained probabilities of the choices",
}
"""Labels of the metrics of the stage `search`; those of `val_...`, `seconds....` and `reverse_...` are composed."""
FIRST = ("space_size", "paths", "operators", "channels", "bits", "evaluations", "left_early", "pareto", "band")
"""Keys shown first: the size and course of a search, before its result."""


def searched(metrics: Mapping[str, object]) -> dict[str, str]:
    """Return the metrics of a search as labels and values for people, in display order."""
    keys = sorted(metrics, key=lambda key: FIRST.index(key) if key in FIRST else len(FIRST))
    return {label(key): value_of(key, metrics[key]) for key in keys}


def limited(limits: Mapping[str, object], shares: Mapping[str, object]) -> dict[str, str]:
    """Return the limits of a budget as labels and values, with the recipe's share of the original if it named one."""
    found = {}
    for kind, limit in limits.items():
        share = f" ({shares[kind]} of the original)" if kind in shares else ""
        found[f"at most, {COSTS.get(kind, kind)}".replace(" (predicted)", "")] = f"{value_of(kind, limit)}{share}"
    return found


def label(key: str) -> str:
    """Return the label of a metric of a search."""
    if key.startswith("seconds."):
        return f"time of the step {step(key.removeprefix('seconds.'))}"
    if key.startswith("val_") and key not in WORDS:
        return f"{title(key.removeprefix('val_'))} of the winner, on validation images, before fine-tuning"
    if key.startswith("reverse_") and key not in WORDS:
        return f"{label(key.removeprefix('reverse_'))}, reverse direction"
    return WORDS.get(key, key.replace("_", " "))


def value_of(key: str, value: object) -> str:
    """Return the value of a metric of a search as text, in its unit."""
    if key.startswith("seconds."):
        return seconds(value)
    if key.startswith("latency_error") and isinstance(value, int | float):
        return f"{value:.1%}"
    if key == "bytes" and isinstance(value, int | float):
        return size(value)
    return number(value)
