"""Early stopping: a training that is measured as it goes on lowers its rate and ends when it improves no more."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor, nn

from slimgen.training.distributed import first
from slimgen.training.optimizers import held_then_linear


class EarlyStopping:
    """Says when a training that no longer improves lowers its rate, when it ends, and keeps its best weights.

    Early stopping with patience (Prechelt 1998), for a rate that is constant and then falls. The networks are measured
    every so many updates, and at the end. Where the best value has not improved in `patience` checks, the rate begins
    to fall, linearly to zero, over as many updates as make up the share `decay` of the whole: the rates are then those
    of a shorter training. Where it has not improved in as many checks since the rate began to fall, the training ends.
    So it does with the rate at zero; and without any plateau, the rates and the end are those of the whole schedule.

    Args:
        steps: updates at most.
        decay: the last share of a training, 0 to 1, over which its rate falls.
        every: updates from one check to the next.
        patience: checks without a better value.
        measure: the value of the networks as they are, by the names that `watch` gives them.
        goal: which values are better.
        name: of what is measured.
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
        self.fall, self.end = steps - round(steps * decay), steps  # where the rate begins to fall, and is zero
        self.best, self.best_update, self.stalled = -math.inf if goal == "max" else math.inf, 0, 0
        self.weights: dict[str, dict[str, Tensor]] = {}

    def watch(self, nets: Mapping[str, nn.Module]) -> None:
        """Names the networks that are measured, and whose best weights are kept."""
        self.nets = nets

    def rate(self, step: int) -> float:
        """The factor of the base rates at a step."""
        return held_then_linear(step, self.fall, self.end)

    def look(self, done: int) -> float | None:
        """Takes note of so many updates done; the value if they were to be checked."""
        self.done = done
        if done % self.every and done != self.end:
            return None
        value = first(lambda: self.measure(self.nets))  # all processes have one opinion
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
        """Gives the networks their best weights."""
        for name, weights in self.weights.items():
            self.nets[name].load_state_dict(weights)

    def facts(self) -> dict[str, float]:
        """How the training went: updates done, the update of the weights that were kept, their value.

        And `stopped_improving`, the update of the value that was not improved in as many checks as the patience; 0
        where there was none.
        """
        return {
            "updates": self.done,
            "best_update": self.best_update,
            f"val_{self.name}": self.best,
            "stopped_improving": self.stalled,
        }

    def state_dict(self) -> dict[str, Any]:
        """All of it, for checkpoints."""
        names = ("done", "over", "fall", "end", "best", "best_update", "stalled", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes it back."""
        for name, value in state.items():
            setattr(self, name, value)

    def _copied(self) -> dict[str, dict[str, Tensor]]:
        return {
            name: {key: weight.detach().to("cpu", copy=True) for key, weight in net.state_dict().items()}
            for name, net in self.nets.items()
        }
