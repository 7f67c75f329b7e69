"""A profile of a call, operator by operator."""

from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile


def operations(call: Callable[[], object], most: int = 12) -> list[dict[str, Any]]:
    """Return the operators with the most CPU time of their own in a call, the most expensive first.

    Args:
        call: run once under torch's profiler, which slows short operators down.
        most: the number of operators to return.

    Returns:
        Each operator's name, calls, milliseconds, and share of the time of all operators.
    """
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        call()
    found = recorded.key_averages()
    whole = sum(entry.self_cpu_time_total for entry in found)
    top = sorted(found, key=lambda entry: -entry.self_cpu_time_total)[:most]
    return [
        {
            "name": entry.key,
            "calls": entry.count,
            "ms": entry.self_cpu_time_total / 1e3,
            "share": entry.self_cpu_time_total / whole,
        }
        for entry in top
    ]


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return operators as lines of text."""
    return [f"{row['share']:6.1%} {row['ms']:9.1f} ms {row['calls']:6d} x {row['name']}" for row in rows]
