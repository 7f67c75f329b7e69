"""Algorithm 1 with Algorithm 2 inside: its steps, their losses and their batches (Tian et al.)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slimgen.data.batches import Pair
from slimgen.methods.alphagan.gradients import Gradients
from slimgen.methods.alphagan.options import SupernetOptions
from slimgen.methods.alphagan.players import Player, Players, gap, value_of, worst
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.supernet import Arch
from slimgen.recipe import Schedule
from slimgen.tasks.noise import SHOWN
from slimgen.tasks.task import Job
from slimgen.training.fit import Loss, Memo, Phase
from slimgen.training.losses import Adversarial, adversarial
from slimgen.training.optimizers import Adam, constant_then_linear

WEIGHTS, ARCHITECTURE = "weights", "architecture"
GENERATOR, DISCRIMINATOR = "generator", "discriminator"
GENERATOR_BAR, DISCRIMINATOR_BAR = "generator_bar", "discriminator_bar"


class Step(NamedTuple):
    """One update of D, D-bar, G-bar or the logits; G is updated in every `critic_steps`-th step of the weights.

    Attributes:
        part: the part of the algorithm: WEIGHTS, DISCRIMINATOR_BAR, GENERATOR_BAR or ARCHITECTURE.
        position: the position within its part of the iteration, from 0.
        number: the number among all steps of its part, from 0.
        batch: the number of the batch that it takes from its part's images.
    """

    part: str
    position: int
    number: int
    batch: int


def timetable(options: SupernetOptions) -> list[Step]:
    """Return the steps of a search, in order.

    Each part goes through its images epoch by epoch, as if it ran alone. D-bar and the logits share the validation
    images, taking batches in turn; the noise of G-bar comes from later batches, which neither of them reaches.

    While the logits are held, the bars are not needed, so an iteration of the warm-up has steps of the weights only,
    which makes it cheap (supplement, .2.3).
    """
    # An exact fraction of the written decimal: 0.29 of 100 is 29, which floats just miss.
    warm = int(Fraction(str(options.warm_up)) * options.iterations)
    later = (options.iterations - warm) * (options.bar_steps + options.architecture_steps)
    steps: list[Step] = []
    done: Counter[str] = Counter()
    for iteration in range(options.iterations):
        parts = [(WEIGHTS, options.weight_steps)]  # Algorithm 1, lines 3 to 8: T steps
        if iteration >= warm:
            parts += [
                (DISCRIMINATOR_BAR, options.bar_steps),  # Algorithm 2, lines 1 to 4: R steps
                (GENERATOR_BAR, options.bar_steps),  # Algorithm 2, lines 5 to 8: R steps
                (ARCHITECTURE, options.architecture_steps),  # Algorithm 1, lines 10 to 13: S steps
            ]
        for part, count in parts:
            for position in range(count):
                batch = done[part]
                if part in (DISCRIMINATOR_BAR, ARCHITECTURE):
                    batch = done[DISCRIMINATOR_BAR] + done[ARCHITECTURE]
                elif part == GENERATOR_BAR:
                    batch += later
                steps.append(Step(part, position, done[part], batch))
                done[part] += 1
    return steps


class Counts:
    """Counts of each player's updates, of the logits' updates, and of restarts of the bars."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def state_dict(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return dict(self.counts)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts."""
        self.counts = Counter(state)


def phases(
    job: Job,
    options: SupernetOptions,
    players: Players,
    table: Sequence[Step],
    counts: Counts,
    after_generator: Callable[[], None],
    gradients: Gradients,
) -> list[Phase]:
    """Return one phase for each line of the algorithms that updates something; the timetable decides when each runs.

    The phases keep `counts` up to date, call `after_generator` after each update of G only, and log `gradients`.
    """
    gan, rate = adversarial(job.recipe.losses.gan), constant_then_linear(len(table), 0)
    generator, discriminator, generator_bar, discriminator_bar = players
    bars, value = options.bar_rate or options.rate, value_of(gan, options.gap == "scores")
    rates = {GENERATOR_BAR: bars, DISCRIMINATOR_BAR: bars}
    adams = {
        name: Adam(_groups(options, name, players), rates.get(name, options.rate), options.betas)
        for name in players._asdict()
    }
    logits = [player.relaxation for player in (generator, discriminator) if player.relaxation is not None]
    adams[ARCHITECTURE] = Adam([_logits(options, logits)], options.architecture_rate, options.architecture_betas)
    telling_bar = telling(generator, discriminator_bar, gan)
    learning = [number for number, step in enumerate(table) if step.part == ARCHITECTURE]

    def begun(batch: Pair, arch: Arch, memo: Memo) -> Mapping[str, Tensor]:
        """Return D-bar's loss; before its first step of an iteration, restart both bars (Algorithm 2, line 1)."""
        if table[memo.step].position == 0:
            generator_bar.follow(generator)
            discriminator_bar.follow(discriminator)
            for name in (GENERATOR_BAR, DISCRIMINATOR_BAR):
                adams[name].state.clear()
            counts.counts["bars"] += 1
        return telling_bar(batch, arch, memo)

    def counted(phase: Phase, archs: Sequence[Arch]) -> None:
        counts.counts[phase.name] += 1
        if phase.name == GENERATOR:
            after_generator()
        if phase.name == ARCHITECTURE:
            now = learning[counts.counts[ARCHITECTURE] - 1]
            position = table[now].position
            gradients.step(now + 1, position == 0, position == options.architecture_steps - 1)

    def during(part: str, every: int = 1) -> Callable[[int], bool]:
        return lambda step: table[step].part == part and table[step].number % every == every - 1

    def duality(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        if options.whole:
            return gap(players, batch, memo.step, value, options.coupled, gradients.see)
        return {"worst": worst(players, batch, memo.step, value, see=gradients.see)}

    searching = options.bar != "weights"
    lines: list[tuple[str, Loss, str, Callable[[int], bool]]] = [
        # Algorithm 1, lines 5 and 6: D at every step of the weights, G at every `critic_steps`-th (Eq. 7).
        (DISCRIMINATOR, telling(generator, discriminator, gan), f"{WEIGHTS}{SHOWN}", during(WEIGHTS)),
        (GENERATOR, passing(generator, discriminator, gan), WEIGHTS, during(WEIGHTS, options.critic_steps)),
        # Algorithm 2, lines 3 and 7: D-bar against the present G, G-bar against the present D (Eq. 6).
        (DISCRIMINATOR_BAR, begun, DISCRIMINATOR_BAR, during(DISCRIMINATOR_BAR)),
        (GENERATOR_BAR, passing(generator_bar, discriminator, gan, searching), GENERATOR_BAR, during(GENERATOR_BAR)),
        # Algorithm 1, line 12: the logits (Eq. 3, or its scores' own).
        (ARCHITECTURE, duality, ARCHITECTURE, during(ARCHITECTURE)),
    ]
    return [
        Phase(name, loss, adams[name], rate, split, when, counted)
        for name, loss, split, when in lines
        if options.whole or name != GENERATOR_BAR
    ]


def telling(maker: Player, discriminator: Player, gan: Adversarial) -> Loss:
    """Return the loss of D or D-bar, on newly generated images and real ones."""

    def loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = maker(batch.input, memo.step).float()
        scores = discriminator(torch.cat([batch.target, fake]), memo.step).float()
        return {"loss": gan.discriminator(scores[: len(fake)], scores[len(fake) :])}

    return loss


def passing(maker: Player, discriminator: Player, gan: Adversarial, searching: bool = False) -> Loss:
    """Return the loss of G or G-bar; with `searching`, it also reaches G-bar's logits."""

    def loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        fake = maker(batch.input, memo.step, maker.gates(memo.step) if searching else None).float()
        return {"loss": gan.generator(discriminator(fake, memo.step).float())}

    return loss


def _groups(options: SupernetOptions, name: str, players: Players) -> list[dict[str, Any]]:
    """Return the parameter groups of a player's optimizer; for G-bar, see Table 3."""
    player: Player = getattr(players, name)
    groups: list[dict[str, Any]] = []
    if name != GENERATOR_BAR or options.bar in ("weights", "both"):
        groups.append({"params": list(player.net.parameters())})
    if name == GENERATOR_BAR and options.bar in ("logits", "both"):
        assert player.relaxation is not None
        groups.append(_logits(options, [player.relaxation]))
    return groups


def _logits(options: SupernetOptions, relaxations: Sequence[Relaxation]) -> dict[str, Any]:
    return {
        "params": [logit for relaxation in relaxations for logit in relaxation.parameters()],
        "lr": options.architecture_rate,
        "betas": options.architecture_betas,
        "weight_decay": options.architecture_decay,
    }


def batches(job: Job, options: SupernetOptions, table: Sequence[Step]) -> dict[str, Callable[[int], Pair]]:
    """Return each phase's batches, as a function of the timetable's step."""
    images = job.task.batches(job.data, Schedule(updates=1, batch=options.batch))
    splits = {
        WEIGHTS: "train",
        f"{WEIGHTS}{SHOWN}": f"train{SHOWN}",
        DISCRIMINATOR_BAR: f"val{SHOWN}",
        GENERATOR_BAR: "val",
        ARCHITECTURE: "val",
    }

    def numbered(split: str, step: int) -> Pair:
        return images[split](table[step].batch)

    return {name: partial(numbered, split) for name, split in splits.items()}
