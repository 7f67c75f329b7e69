"""Early stopping: a training is measured as it runs, and lowers its rate and ends when it no longer improves."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor, nn

from slimgen.training.distributed import first
from slimgen.training.optimizers import held_then_linear


class EarlyStopping:
    """The rule that lowers a training's rate and ends it when it no longer improves; it keeps the best weights.

    This is early stopping with patience (Prechelt 1998), for a rate that is constant and then falls. The networks are
    measured every `every` updates and at the end. After `patience` checks without a better value, the rate starts to
    fall linearly to zero; the fall takes the share `decay` of the shortened training, whose rates are therefore those
    of a shorter schedule. After `patience` further checks without a better value, or with the rate at zero, the
    training ends. Without a plateau, the rates and the end are those of the full schedule.

    Args:
        steps: the most updates.
        decay: the share of a training, 0 to 1, over which its rate falls at the end.
        every: updates between checks.
        patience: checks without a better value before the rate falls, and again before the training ends.
        measure: the networks, by the names given to `watch`, to their value.
        goal: which values are better.
        name: of the measured value.
    """

    def __init__(
        self,
        steps: int,
        decay: float,
        *,
        every: int,
        patience: int,
        measure: Callable[[Mapping[str, nn.Module]], float],
        goal: Literal["min", "max"],
        name: str,
    ) -> None:
        self.steps, self.decay, self.every, self.patience = steps, decay, every, patience
        self.measure, self.goal, self.name = measure, goal, name
        self.nets: Mapping[str, nn.Module] = {}
        self.done, self.over = 0, False
        self.fall, self.end = steps - round(steps * decay), steps  # where the rate starts to fall, and reaches zero
        self.best, self.best_update, self.stalled = -math.inf if goal == "max" else math.inf, 0, 0
        self.weights: dict[str, dict[str, Tensor]] = {}

    def watch(self, nets: Mapping[str, nn.Module]) -> None:
        """Set the networks to measure and whose best weights are kept, by name."""
        self.nets = nets

    def rate(self, step: int) -> float:
        """Return the factor of the base rates at a step."""
        return held_then_linear(step, self.fall, self.end)

    def look(self, done: int) -> float | None:
        """Record the number of updates done; return the measured value if a check was due, else None."""
        self.done = done
        if done % self.every and done != self.end:
            return None
        value = first(lambda: self.measure(self.nets))  # all processes use the same value
        better = value > self.best if self.goal == "max" else value < self.best
        if not self.weights or math.isnan(self.best) or better:
            self.best, self.best_update, self.weights = value, done, self._copied()
        patience = self.patience * self.every
        if done - self.best_update >= patience:
            self.stalled = self.best_update
            if done <= self.fall:
                self.fall = done
                falling = round(done * self.decay / (1 - self.decay)) if self.decay < 1 else 0
                self.end = min(self.steps, done + falling)
        falls_in_vain = done > self.fall and done - max(self.best_update, self.fall) >= patience
        self.over = falls_in_vain or done >= self.end
        return value

    def restore(self) -> None:
        """Load the best weights into the networks."""
        for name, weights in self.weights.items():
            self.nets[name].load_state_dict(weights)

    def facts(self) -> dict[str, float]:
        """Return a summary: updates done, the update of the kept weights, and their value.

        `stopped_improving` is the update whose value was the last improvement before the patience ran out; 0 if it did
        not run out.
        """
        return {
            "updates": self.done,
            "best_update": self.best_update,
            f"val_{self.name}": self.best,
            "stopped_improving": self.stalled,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state, for checkpoints."""
        names = ("done", "over", "fall", "end", "best", "best_update", "stalled", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        for name, value in state.items():
            setattr(self, name, value)

    def _copied(self) -> dict[str, dict[str, Tensor]]:
        return {
            name: {key: weight.detach().to("cpu", copy=True) for key, weight in net.state_dict().items()}
            for name, net in self.nets.items()
        }
