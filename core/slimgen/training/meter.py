"""The mean losses of a training since the last line of its log."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from slimgen.errors import RunError


class Meter:
    """Running means of the losses since the last log line."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = defaultdict(int)
        self.last: dict[str, float] = {}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add one step's losses; they stay on their device until `means` is called."""
        for name, value in terms.items():
            self.sums[name] = self.sums[name] + value.float() if name in self.sums else value.float()
            self.counts[name] += 1

    def means(self, step: int) -> dict[str, float]:
        """Return the means and reset them.

        Raises:
            RunError: a mean is not finite.
        """
        self.last = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, defaultdict(int)
        for name, value in self.last.items():
            if not math.isfinite(value):
                came = f"{name} = {value} at step {step + 1}"
                raise RunError("losses must stay finite", came, "lower the rate, or use precision fp32")
        return self.last

    def state_dict(self) -> dict[str, Any]:
        """Return sums and counts, for checkpoints."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore sums and counts."""
        self.sums, self.counts = dict(state["sums"]), defaultdict(int, state["counts"])
