"""How a stage reports its progress."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Is called as the work goes on."""

    def __call__(self, what: str, done: int, total: int, values: Mapping[str, float]) -> None:
        """What is under way, how much of it is done, and what was measured last."""


@dataclass
class Lines:
    """Progress as lines of text, for logs: one every few seconds."""

    seconds: float = 10.0
    _last: dict[str, float] = field(default_factory=dict)

    def __call__(self, what: str, done: int, total: int, values: Mapping[str, float]) -> None:
        """Prints a line if the last one is old, or this is the end."""
        now = time.monotonic()
        if now - self._last.setdefault(what, now) >= self.seconds or done == total:
            self._last[what] = now
            shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            say(f"{what} {done}/{total}  {shown}".rstrip())


def say(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """One warning line on stderr."""
    say(f"warning: {line}")
