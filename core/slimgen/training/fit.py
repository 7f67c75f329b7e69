"""The one training loop: phases x batches x drawn architectures."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from slimgen.device import Compute, Starvation
from slimgen.nets.supernet import Arch
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.log import Log
from slimgen.stopping import asked, held
from slimgen.training.distributed import average_gradients, require_alike, world
from slimgen.training.draws import Draw
from slimgen.training.early_stopping import EarlyStopping
from slimgen.training.meter import Meter
from slimgen.training.optimizers import Rate

SAVING = 20.0
"""Times the duration of a checkpoint that pass before the next, at least."""


@dataclass
class Memo:
    """What the phases of one step tell each other.

    Attributes:
        fakes: generated images without their graph, for the discriminators: of each architecture, or each direction.
        features: of the images generated last, where their generator shows any.
    """

    step: int
    fakes: list[Tensor] = field(default_factory=list)
    features: Sequence[Tensor] = ()


Loss = Callable[[Any, Arch, Memo], Mapping[str, Tensor]]
"""Batch, architecture and the step's memo to weighted terms; their sum is differentiated."""


@dataclass(frozen=True)
class Phase:
    """A loss, the parameters that it moves, and when.

    Attributes:
        name: for logs and checkpoints.
        loss: called once for each architecture.
        optimizer: holds the parameters; every other phase's are frozen meanwhile.
        rate: step to a factor of the optimizer's base rates.
        split: whose batches it takes.
        when: whether it runs at a step.
        after: called with the phase and its architectures after the optimizer's step.
        draw: architectures of its own, such as a relaxation's, whose graph lives for one backward pass; None takes
            the step's.
    """

    name: str
    loss: Loss
    optimizer: Optimizer
    rate: Rate
    split: str = "train"
    when: Callable[[int], bool] = field(default=lambda step: True)
    after: Callable[["Phase", Sequence[Arch]], None] | None = None
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
        log: a line every `log_every` steps.
        progress: called with steps done, steps in all, and the last losses.
        seconds: between checkpoints, at least.
        warn: told, once, that threads starve.
    """

    checkpoints: Checkpoints | None = None
    log: Log | None = None
    progress: Callable[[int, int, Mapping[str, float]], None] | None = None
    log_every: int = 50
    seconds: float = 15.0
    warn: Callable[[str], None] | None = None
    starvation: Starvation = field(default_factory=Starvation)

    def resume(self, state: Mapping[str, Stateful]) -> int:
        """Restores the newest checkpoint; the number of steps it had done."""
        found = self.checkpoints.load() if self.checkpoints is not None else None
        done, kept = found if found is not None else (0, {})
        if self.log is not None:
            self.log.truncate_after(done)
        if found is not None:
            for name, part in state.items():
                part.load_state_dict(kept[name])  # type: ignore[arg-type]
        self._saved, self._pause = time.monotonic(), self.seconds
        self.starvation = Starvation()
        return done

    def advance(self, done: int, steps: int, losses: Mapping[str, float], state: Mapping[str, Stateful]) -> None:
        """Tells of a step that was taken, and saves all when enough time has passed since the last checkpoint."""
        if self.progress is not None:
            self.progress(done, steps, losses)
        if self.warn is not None and (hint := self.starvation.hint(torch.get_num_threads())):
            self.warn(hint)
        if done < steps and time.monotonic() - self._saved >= self._pause:
            started = time.monotonic()
            self.save(done, state)
            self._saved = time.monotonic()
            # Large states are saved less often, so that saving stays below a twentieth of the time.
            self._pause = max(self.seconds, SAVING * (self._saved - started))

    def save(self, done: int, state: Mapping[str, Stateful]) -> None:
        """Saves all after so many steps, where there are checkpoints."""
        if self.checkpoints is not None:
            self.checkpoints.save(done, {name: part.state_dict() for name, part in state.items()})


@held()  # a signal ends a training between two steps
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
    until: int | None = None,
    stopping: EarlyStopping | None = None,
) -> None:
    """Trains for a number of steps, going on from the newest checkpoint; or `until` one, which is then saved.

    With `stopping` these are at most as many, all rates are its own, and what it watches ends with its best weights.
    At each step, the phases run in order, with the batches of their splits, pure functions from step to batch. Under
    torchrun every process holds its slice of the batch and the step is taken with the gradients of the whole.

    Everything random is a function of the seed and the step (here, layers such as dropout), so a training that was
    killed and started again computes the same numbers as one left alone. Checkpoints hold `state`, the optimizers, and
    the losses of the line under way. Where a signal asks for it, the step under way is saved, and `Stopped` raised.

    Raises:
        RunError: a loss that is no longer finite, or processes that cannot train as one.
    """
    journal, meter, (rank, _) = journal or Journal(), Meter(), world()
    if stopping is not None:
        phases, state = [replace(phase, rate=stopping.rate) for phase in phases], {**state, "stopping": stopping}
    for phase in phases:
        for group in phase.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
    stop = steps if until is None else min(until, steps)
    everything = {**state, **{f"optimizer.{phase.name}": phase.optimizer for phase in phases}, "meter": meter}
    done = journal.resume(everything)
    require_alike(done, state.values())
    try:
        for step in range(done, stop):
            if stopping is not None and stopping.over:
                break  # a training that was killed after its end
            torch.manual_seed((seed * 1_000_003 + step) * 1_009 + rank)  # another one for every step and process
            archs, memo = draw(step), Memo(step)
            for phase in phases:
                if phase.when(step):
                    _step(phase, phases, batches[phase.split](step), archs, memo, compute, meter)
            value = None if stopping is None else stopping.look(step + 1)
            last = step + 1 == stop or (stopping is not None and stopping.over)
            if (step + 1) % journal.log_every == 0 or last or value is not None:
                values = {**meter.means(step), **{f"rate.{phase.name}": phase.rate(step) for phase in phases}}
                values |= {} if value is None else {"validation": value}
                if rank == 0 and journal.log is not None:
                    journal.log.log(step=step + 1, **values)
            if rank == 0:
                total = step + 1 if last else stop if stopping is None else stopping.end
                journal.advance(step + 1, total, meter.last, everything)
            if asked():
                if rank == 0:
                    journal.save(step + 1, everything)
                return  # out of `held`, which raises
        if stopping is not None:
            stopping.restore()
        if rank == 0 and done < stop < steps:
            journal.save(stop, everything)
    finally:
        if journal.log is not None:
            journal.log.close()


def _step(
    phase: Phase, phases: Sequence[Phase], batch: Any, archs: Sequence[Arch], memo: Memo, compute: Compute, meter: Meter
) -> None:
    """One step of one phase."""
    for group in phase.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * phase.rate(memo.step)
    phase.optimizer.zero_grad(set_to_none=True)
    with moving(phase, phases):
        if phase.draw is not None:
            archs = phase.draw(memo.step)
        for arch in archs:
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
