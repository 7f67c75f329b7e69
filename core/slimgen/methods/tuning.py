"""Training of candidates before they are measured: briefly, from a supernet's weights, or at length by themselves."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from torch import nn

from slimgen.errors import RunError
from slimgen.methods.effort import Effort
from slimgen.methods.handing import keep
from slimgen.nets.supernet import Supernet
from slimgen.recipe.trainings import FinetuneSection
from slimgen.search import Genotype
from slimgen.tasks.gan import GanTraining, train_gan
from slimgen.tasks.guidance import Guidance
from slimgen.tasks.task import Job, from_images
from slimgen.training.distributed import alone
from slimgen.training.fit import Journal

SCHEDULE = tuple(f"finetune.{name}" for name in ("batch", "rate", "discriminator_rate", "betas"))
WHOLE = (*SCHEDULE, *(f"finetune.{name}" for name in ("decay", "updates", "epochs", "ema", "generator_steps")))
OF_NOISE = (*WHOLE, "finetune.discriminator_batch", "finetune.discriminator_steps")
"""The recipe keys that a candidate's training depends on: a short one (`SCHEDULE`), or a whole one (the others)."""


class Opponent(NamedTuple):
    """The discriminator that a candidate is trained against, and further arguments of its `GanTraining`."""

    discriminator: nn.Module
    how: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Tuning:
    """A training of each candidate by itself, the same for all.

    Attributes:
        job: the job of the search.
        name: the name of the training, for its checkpoints.
        schedule: batch size, rates and decay; for a rung of halving, also the other settings of fine-tuning.
        steps: updates of the whole training, over which the rates fall.
        opponent: maps a genotype and its network to its opponent; None trains without adversarial loss.
        until: the number of updates after which it stops; None for `steps`.
        kept: whether a later rung continues this training.
        whole: whether `finetune` would train the winner in the same way, so that its weights are kept for that.
    """

    job: Job
    name: str
    schedule: FinetuneSection
    steps: int
    opponent: Callable[[Genotype, nn.Module], Opponent] | None = None
    until: int | None = None
    kept: bool = False
    whole: bool = False

    def train(self, genotype: Genotype, net: nn.Module) -> nn.Module:
        """Train a candidate in place, without waiting for other processes; one that diverges stays as it is then."""
        job, name = self.job, f"{self.name}-{genotype.key}"
        if self.opponent is not None:
            opponent = self.opponent(genotype, net)
        else:
            job, opponent = self._without_adversary
        training = GanTraining(
            name, net, opponent.discriminator, self.schedule, self.steps, until=self.until, **opponent.how
        )
        if self.kept:  # as the found generator is trained
            training = replace(training, generator_steps=self.schedule.generator_steps, ema=self.schedule.ema)
        with alone(), suppress(RunError):
            net = train_gan(unlogged(job, self.kept), training)
            if self.whole and self.until == self.steps:
                keep(self.job, genotype, [net])
        return net.eval()

    @cached_property
    def _without_adversary(self) -> tuple[Job, Opponent]:
        """The job without adversarial loss; where there are no pairs, the original's outputs are the targets."""
        job = self.job.learning(self.job.recipe.losses.model_copy(update={"adversarial": 0.0}))
        truth = Guidance(truth=from_images(job.task).truth(job.inputs["teach"]))
        return job, Opponent(nn.Module(), {"guidance": truth})

    @property
    def protocol(self) -> str:
        """Everything that the training depends on besides the candidate and its initial weights, as text."""
        adversary = "without adversarial loss" if self.opponent is None else "with all losses"
        return trained_by(self.job, self.schedule, self.until or self.steps, self.steps, adversary)


def unlogged(job: Job, kept: bool = True) -> Job:
    """Return the job without logs and progress of its trainings, and without checkpoints unless they are `kept`.

    There would be hundreds of them, one for each candidate.
    """

    def journal(name: str) -> Journal:
        return replace(job.journal(name), log=None, progress=None) if kept else Journal()

    return replace(job, journal=journal)


def trained_by(job: Job, schedule: FinetuneSection, until: int, steps: int, adversary: str) -> str:
    """Return everything that a training depends on besides the network and its initial weights, as text."""
    recipe, images = job.recipe, job.data.manifest.splits["train"].sha256
    content = "-".join(images[side][:12] for side in sorted(images))
    return (
        f"{until} of {steps} updates {adversary} on content {content}, seed {recipe.seed}, "
        f"flip {recipe.data.flip}, {recipe.losses.model_dump_json()}, {schedule.model_dump_json()}"
    )


def tuning(job: Job, updates: int) -> Tuning | None:
    """Return the short training of candidates before they are measured, without discriminator; None for 0 updates."""
    if not updates:
        return None
    schedule = job.recipe.finetune.model_copy(update={"updates": updates, "epochs": None, "decay": 1.0})
    return Tuning(job, "tune", schedule, updates)


def tuned_effort(job: Job, supernet: Supernet, genotypes: Sequence[Genotype], updates: int) -> Effort:
    """Return the effort of training each candidate for `updates` updates before it is measured."""
    size = job.recipe.size
    macs = [supernet.cost(genotype, *size).exact for genotype in genotypes]
    return Effort.candidates(macs, updates, job.recipe.finetune.batch)
