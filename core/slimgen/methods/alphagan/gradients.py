"""What the logits of AlphaGAN's generator learn from, told at each of their steps."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from slimgen.nets.relaxation import Relaxation
from slimgen.run.log import Log

NAME = "architecture"  # of the log
EDGE = -1.0  # relu(1 + score) of the hinge loss is constant below
MOST = 0.9  # share of pictures beyond the hinge above which there is a warning


class Gradients:
    """A log of the gradient of the generator's logits: a line of JSON for each of their steps.

    A line holds `step`, and:

    - `beyond`: the share of generated pictures that D-bar scores below -1. There the hinge loss is constant, so from
      these pictures no logit learns.
    - `gradient`: the Euclidean norm of the gradient of all logits together.
    - `cosine`: of the angle between this gradient and that of the step before, in the same iteration; left out in its
      first step. Both steps have the same D-bar and weights of G, and batches that share no picture and no noise, while
      the logits have moved by one step, so it tells how much of the gradient is not chance. It costs no computation.

    Args:
        file: the log; None logs nothing, as in all processes but the first.
        relaxation: the generator's logits.
        flat: whether pictures beyond the hinge give no gradient, which is then warned of.
        say: prints a line for the user.
    """

    def __init__(self, file: Path | None, relaxation: Relaxation, flat: bool, say: Callable[[str], None]) -> None:
        self.relaxation, self.flat, self.say = relaxation, flat, say
        self.log = None if file is None else Log(file)
        self.shares: list[float] = []
        self._last: Tensor | None = None
        self._begun = self._warned = False

    def see(self, scores: Tensor) -> None:
        """Take note of D-bar's scores (N, 1) of generated pictures, from which the next gradient comes."""
        self.shares.append(float((scores.detach() < EDGE).float().mean()))

    def step(self, done: int, first: bool, last: bool) -> None:
        """Log one step of the logits after their gradient was computed.

        Args:
            done: steps of the whole training so far, counting from 1.
            first: whether it is the first step of the logits in its iteration.
            last: whether it is the last one.
        """
        logits = self.relaxation.parameters()
        found = torch.cat([torch.zeros_like(p) if p.grad is None else p.grad.detach().float() for p in logits])
        values = {"beyond": self.shares[-1], "gradient": float(found.norm())}
        if not first and self._last is not None:
            values["cosine"] = float(functional.cosine_similarity(found, self._last, dim=0))
        self._last = found
        if self.log is not None:
            self._write(self.log, done, values)
        if last:
            self._look(mean(self.shares))
            self.shares = []

    def _write(self, log: Log, done: int, values: Mapping[str, float]) -> None:
        if not self._begun:
            log.truncate_after(done - 1)  # of steps that are repeated
            self._begun = True
        # Lines are rare, so the file is closed after each, and the training may be stopped at any time.
        with log:
            log.log(step=done, **values)

    def _look(self, share: float) -> None:
        if self.log is not None and self.flat and share > MOST and not self._warned:
            self._warned = True
            self.say(
                f"warning: {share:.0%} of the generated pictures are beyond the hinge (D-bar below -1), where the "
                "generator's logits do not learn: set supernet.gap to scores, or lower supernet.bar_rate or bar_steps"
            )

    def facts(self) -> Mapping[str, float]:
        """Return the means over all lines, as a stage's metrics."""
        lines = [] if self.log is None else self.log.read()
        values = {name: _numbers(lines, name) for name in ("beyond", "gradient", "cosine")}
        return {f"{NAME}_{name}": mean(each) for name, each in values.items() if each}

    def state_dict(self) -> dict[str, Any]:
        """Return the last gradient and the shares of this iteration, for checkpoints."""
        return {"last": self._last, "shares": list(self.shares), "warned": self._warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        last: Tensor | None = state["last"]
        self._last = None if last is None else last.to(next(self.relaxation.parameters()).device)
        self.shares, self._warned = list(state["shares"]), bool(state["warned"])


def _numbers(lines: Sequence[Mapping[str, object]], name: str) -> list[float]:
    return [float(str(value)) for line in lines if (value := line.get(name)) is not None]
