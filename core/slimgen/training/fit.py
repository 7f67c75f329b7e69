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
"""The least time between checkpoints, as a multiple of the time that saving one takes."""


@dataclass
class Memo:
    """The data that the phases of one step pass to each other.

    Attributes:
        step: number of the step.
        fakes: generated images without their graph, for the discriminators, one tensor per architecture or direction.
        features: of the last generated images, if their generator returns any.
    """

    step: int
    fakes: list[Tensor] = field(default_factory=list)
    features: Sequence[Tensor] = ()


Loss = Callable[[Any, Arch, Memo], Mapping[str, Tensor]]
"""Batch, architecture and the step's memo to weighted terms, whose sum is differentiated."""


@dataclass(frozen=True)
class Phase:
    """A loss, the parameters that it updates, and the steps at which it runs.

    Attributes:
        name: for logs and checkpoints.
        loss: called once for each architecture.
        optimizer: holds the parameters; those of all other phases are frozen during the phase.
        rate: step to a factor of the optimizer's base rates.
        split: the data split that its batches come from.
        when: step to whether the phase runs.
        after: called with the phase and its architectures after the optimizer's step.
        draw: the phase's own architectures, such as a relaxation's gates, whose graph lasts for one backward pass; None
            takes the step's architectures.
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
        """All parameters that the phase updates."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


class Stateful(Protocol):
    """An object with state for checkpoints: a module, an average, a counter."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state: tensors and plain data."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Restore the state."""


@dataclass
class Journal:
    """The checkpoints, log and progress of a training.

    Attributes:
        checkpoints: where to save; None saves nothing.
        log: gets a line every `log_every` steps.
        progress: called with steps done, total steps, and the last losses.
        log_every: steps between lines of the log.
        seconds: the least time between checkpoints.
        warn: called once with a warning if the threads get too little CPU time.
        starvation: measures the CPU time of the threads.
    """

    checkpoints: Checkpoints | None = None
    log: Log | None = None
    progress: Callable[[int, int, Mapping[str, float]], None] | None = None
    log_every: int = 50
    seconds: float = 15.0
    warn: Callable[[str], None] | None = None
    starvation: Starvation = field(default_factory=Starvation)

    def resume(self, state: Mapping[str, Stateful]) -> int:
        """Restore the newest checkpoint and return the number of steps that it has done."""
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
        """Report a finished step, and save a checkpoint when enough time has passed since the last one."""
        if self.progress is not None:
            self.progress(done, steps, losses)
        if self.warn is not None and (hint := self.starvation.hint(torch.get_num_threads())):
            self.warn(hint)
        if done < steps and time.monotonic() - self._saved >= self._pause:
            started = time.monotonic()
            self.save(done, state)
            self._saved = time.monotonic()
            # Large states are saved less often, so that saving takes less than a twentieth of the time.
            self._pause = max(self.seconds, SAVING * (self._saved - started))

    def save(self, done: int, state: Mapping[str, Stateful]) -> None:
        """Save a checkpoint of everything after this number of steps, unless `checkpoints` is None."""
        if self.checkpoints is not None:
            self.checkpoints.save(done, {name: part.state_dict() for name, part in state.items()})


@held()  # a signal ends the training between two steps
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
    """Train for `steps` steps, resuming from the newest checkpoint; or up to step `until`, which is then saved.

    With `stopping`, the training may end earlier, all rates come from it, and the networks that it watches end with
    their best weights. At each step the phases run in order, with batches from their splits; batches are pure functions
    of the step. Under torchrun every process has its part of the batch, and steps use the averaged gradients.

    All randomness is a function of the seed and the step (here, in layers such as dropout), so a training that was
    killed and resumed computes the same numbers as one that was not. Checkpoints hold `state`, the optimizers, and the
    losses since the last line of the log. When a signal asks to stop, the current step is finished and saved, and
    `Stopped` is raised.

    Raises:
        RunError: a loss is no longer finite, or the processes cannot train together.
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
                break  # killed after the training had ended
            torch.manual_seed((seed * 1_000_003 + step) * 1_009 + rank)  # a different seed for every step and process
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
                return  # to `held`, which raises
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
    """Run one step of one phase."""
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
    """Require gradients for this phase's parameters only, so that no others are computed."""
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
