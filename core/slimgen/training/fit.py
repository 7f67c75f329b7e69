"""The one training loop: phases x batches x drawn architectures."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from slimgen.device import Compute
from slimgen.errors import RunError
from slimgen.nets.gates import Arch
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.log import Log
from slimgen.training.distributed import average_gradients, require_alike, world
from slimgen.training.draws import Draw
from slimgen.training.schedules import Rate

SAVING = 20.0
"""Times the duration of a checkpoint that pass before the next, at least."""
Memo = dict[str, Any]
"""What the phases of a step tell each other about one architecture: the step, the images that it generated."""


@dataclass(frozen=True)
class Phase:
    """A loss, the parameters that it moves, and when.

    Attributes:
        name: for logs and checkpoints.
        loss: batch, architecture and memo to weighted terms; their sum is differentiated.
        optimizer: holds the parameters; every other phase's are frozen meanwhile.
        rate: step to a factor of the optimizer's base rates.
        split: whose batches it takes.
        when: whether it runs at a step.
        before: called with the step before anything else, such as taking over another network's weights.
        after: called with the phase and the step's architectures after the optimizer's step.
        together: the loss is called once a step, with the first architecture and every architecture's memo under
            the key `each`, instead of once for each.
        draw: architectures of its own, such as a relaxation's, whose graph lives for one backward pass; None takes
            the step's.
    """

    name: str
    loss: Callable[[Any, Arch, Memo], Mapping[str, Tensor]]
    optimizer: Optimizer
    rate: Rate
    split: str = "train"
    when: Callable[[int], bool] = field(default=lambda step: True)
    before: Callable[[int], None] | None = None
    after: Callable[["Phase", Sequence[Arch]], None] | None = None
    together: bool = False
    draw: Draw | None = None

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters that the phase moves."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


class Stateful(Protocol):
    """Whatever a checkpoint must hold: modules, averages, counters."""

    def state_dict(self) -> dict[str, Any]:
        """What there is to remember: tensors and plain data."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Takes it back."""


@dataclass
class Journal:
    """Where a training leaves its traces.

    Attributes:
        checkpoints: None trains without them.
        log: a line every `log_every` steps.
        progress: called with steps done, steps in all, and the last losses.
        metrics: called with each line of the log and its step.
        log_every: steps between lines.
        seconds: between checkpoints, at least.
    """

    checkpoints: Checkpoints | None = None
    log: Log | None = None
    progress: Callable[[int, int, Mapping[str, float]], None] | None = None
    metrics: Callable[[Mapping[str, float], int], None] | None = None
    log_every: int = 50
    seconds: float = 15.0

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Hands one line of losses to whoever keeps them."""
        if self.log is not None:
            self.log.log(step=step, **values)
        if self.metrics is not None:
            self.metrics(values, step)


def fit(
    phases: Sequence[Phase],
    draw: Draw,
    batches: Mapping[str, Callable[[int], Any]],
    steps: int,
    *,
    seed: int,
    compute: Compute,
    state: Mapping[str, Stateful],
    journal: Journal | None = None,
) -> None:
    """Trains for a number of steps, going on from the newest checkpoint.

    Everything random is a function of the seed and the step, so a training that was killed and started again computes
    the same numbers as one left alone. Under torchrun every process holds its slice of the batch and the step is taken
    with the gradients of the whole.

    Args:
        phases: run in order at every step.
        draw: step to the architectures trained at it; their gradients are summed before the optimizer steps.
        batches: split to a pure function from step to batch.
        steps: how many, in all.
        seed: for layers that are random, such as dropout.
        compute: where, and in which type.
        state: what checkpoints hold besides the optimizers.
        journal: checkpoints, log and progress.

    Raises:
        RunError: a loss that is no longer finite, or processes that cannot train as one.
    """
    journal = journal or Journal()
    for phase in phases:
        for group in phase.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
    everything: dict[str, Stateful] = {**state, **{f"optimizer.{phase.name}": phase.optimizer for phase in phases}}
    meter = Meter()
    done = _resume(journal, everything, meter)
    require_alike(done, state.values())
    try:
        _loop(phases, draw, batches, range(done, steps), seed, compute, everything, meter, journal)
    finally:
        if journal.log is not None:
            journal.log.close()


def _loop(
    phases: Sequence[Phase],
    draw: Draw,
    batches: Mapping[str, Callable[[int], Any]],
    steps: range,
    seed: int,
    compute: Compute,
    everything: Mapping[str, "Stateful"],
    meter: "Meter",
    journal: Journal,
) -> None:
    """The steps that are left, with a trace of them in the journal."""
    rank, _ = world()
    saved, pause = time.monotonic(), journal.seconds
    for step in steps:
        torch.manual_seed(_step_seed(seed, step, rank))
        archs = draw(step)
        memos: list[Memo] = [{"step": step} for _ in archs]
        for phase in phases:
            if phase.when(step):
                _run(phase, phases, archs, memos, batches[phase.split](step), step, compute, meter)
        last = step + 1 == steps.stop
        if (step + 1) % journal.log_every == 0 or last:
            values = {**meter.means(step), **{f"rate.{phase.name}": phase.rate(step) for phase in phases}}
            if rank == 0:
                journal.write(step + 1, values)
        if rank == 0 and journal.progress is not None:
            journal.progress(step + 1, steps.stop, meter.last)
        if rank == 0 and journal.checkpoints is not None and not last and time.monotonic() - saved >= pause:
            started = time.monotonic()
            journal.checkpoints.save(step + 1, _state_of(everything, meter))
            saved = time.monotonic()
            # Large states are saved less often, so that saving stays below a twentieth of the time.
            pause = max(journal.seconds, SAVING * (saved - started))


def _run(
    phase: Phase,
    phases: Sequence[Phase],
    archs: Sequence[Arch],
    memos: Sequence[Memo],
    batch: object,
    step: int,
    compute: Compute,
    meter: "Meter",
) -> None:
    """One step of one phase."""
    if phase.before is not None:
        phase.before(step)
    for group in phase.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * phase.rate(step)
    phase.optimizer.zero_grad(set_to_none=True)
    with moving(phase, phases):
        if phase.draw is not None:
            archs = phase.draw(step)
            memos = [{"step": step} for _ in archs]
        turns = [(archs[0], {"step": step, "each": memos})] if phase.together else list(zip(archs, memos, strict=True))
        for arch, memo in turns:
            with compute.autocast():
                terms = phase.loss(batch, arch, memo)
            total = torch.stack([term.float() for term in terms.values()]).sum()
            total.backward()  # type: ignore[no-untyped-call]
            meter.add({f"{phase.name}.{name}": term.detach() for name, term in terms.items()})
    average_gradients(phase.parameters)
    phase.optimizer.step()
    if phase.after is not None:
        phase.after(phase, archs)


@contextmanager
def moving(phase: Phase, phases: Sequence[Phase]) -> Iterator[None]:
    """Only this phase's parameters ask for gradients, so that none are computed in vain."""
    others = {id(parameter): parameter for other in phases for parameter in other.parameters}
    for parameter in phase.parameters:
        others.pop(id(parameter), None)
        parameter.requires_grad_(True)
    for parameter in others.values():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others.values():
            parameter.requires_grad_(True)


class Meter:
    """Running means of the losses since the last log line."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = defaultdict(int)
        self.last: dict[str, float] = {}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Adds one step's losses; they stay on their device until a line is due."""
        for name, value in terms.items():
            self.sums[name] = self.sums[name] + value.float() if name in self.sums else value.float()
            self.counts[name] += 1

    def means(self, step: int) -> dict[str, float]:
        """The means, which start anew.

        Raises:
            RunError: one of them is not finite.
        """
        self.last = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, defaultdict(int)
        for name, value in self.last.items():
            if not math.isfinite(value):
                raise RunError(
                    "losses stay finite",
                    f"{name} = {value} at step {step + 1}",
                    "lower the rate, or use precision fp32",
                )
        return self.last

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts, for checkpoints."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes them back."""
        self.sums, self.counts = dict(state["sums"]), defaultdict(int, state["counts"])


def _state_of(everything: Mapping[str, Stateful], meter: Meter) -> dict[str, object]:
    return {**{name: part.state_dict() for name, part in everything.items()}, "meter": meter.state_dict()}


def _resume(journal: Journal, everything: Mapping[str, Stateful], meter: Meter) -> int:
    """Restores the newest checkpoint; the number of steps it had done."""
    found = journal.checkpoints.load() if journal.checkpoints is not None else None
    done, state = found if found is not None else (0, {})
    if journal.log is not None:
        journal.log.truncate_after(done)
    if found is not None:
        for name, part in {**everything, "meter": meter}.items():
            part.load_state_dict(state[name])  # type: ignore[arg-type]
    return done


def _step_seed(seed: int, step: int, rank: int) -> int:
    """A seed of its own for every step and process."""
    return (seed * 1_000_003 + step) * 1_009 + rank
