"""The phases of AlphaGAN's search: one for each line of Algorithms 1 and 2 that updates something (Tian et al.)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from slimgen.data.batches import Pair
from slimgen.methods.alphagan.options import SupernetOptions
from slimgen.methods.alphagan.players import Player, Players, gap, worst
from slimgen.methods.alphagan.timetable import ARCHITECTURE, DISCRIMINATOR_BAR, GENERATOR_BAR, WEIGHTS, Timetable
from slimgen.nets.gates import Arch
from slimgen.nets.relaxation import Relaxation
from slimgen.tasks.task import Job
from slimgen.tasks.unconditional import SHOWN
from slimgen.training.adam import Adam
from slimgen.training.fit import Loss, Memo, Phase
from slimgen.training.losses import Adversarial, adversarial
from slimgen.training.schedules import constant_then_linear

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


class Counts:
    """How often each of the players was updated, the bars were begun anew, and the logits were moved."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def state_dict(self) -> dict[str, Any]:
        """The counts as plain data."""
        return dict(self.counts)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes counts back."""
        self.counts = Counter(state)


def telling(maker: Player, judge: Player, gan: Adversarial) -> Loss:
    """D's loss, or D-bar's: new images of noise beside real ones."""

    def loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = maker(batch.input, memo.step).float()
        scores = judge(torch.cat([batch.target, fake]), memo.step).float()
        return {"loss": gan.discriminator(scores[: len(fake)], scores[len(fake) :])}

    return loss


def passing(maker: Player, judge: Player, gan: Adversarial, searching: bool = False) -> Loss:
    """G's loss, or G-bar's, whose logits may learn of it as well."""

    def loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        fake = maker(batch.input, memo.step, maker.gates(memo.step) if searching else None).float()
        return {"loss": gan.generator(judge(fake, memo.step).float())}

    return loss


def phases(
    job: Job,
    options: SupernetOptions,
    those: Players,
    table: Timetable,
    counts: Counts,
    after_generator: Callable[[], None],
) -> list[Phase]:
    """One phase for each line of the algorithms that updates something; which of them runs is the timetable's.

    Args:
        job: of the stage.
        options: of the recipe.
        those: what is moved.
        table: says when.
        counts: are kept up to date.
        after_generator: called after each update of G, and of nothing else.
    """
    gan, rate = adversarial(job.recipe.losses.gan), constant_then_linear(table.steps, 0)
    generator, discriminator, generator_bar, discriminator_bar = those
    adams = {name: Adam(_groups(options, name, those), options.rate, options.betas) for name in those._asdict()}
    logits = [side.relaxation for side in (generator, discriminator) if side.relaxation is not None]
    adams[ARCHITECTURE] = Adam([_logits(options, logits)], options.architecture_rate, options.architecture_betas)

    telling_bar = telling(generator, discriminator_bar, gan)

    def begun(batch: Pair, arch: Arch, memo: Memo) -> Mapping[str, Tensor]:
        """D-bar's loss, before whose first step of an iteration both bars begin anew: Algorithm 2's first line."""
        if table.at(memo.step).place == 0:
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

    def during(part: str, every: int = 1) -> Callable[[int], bool]:
        def when(step: int) -> bool:
            moment = table.at(step)
            return moment.part == part and moment.number % every == every - 1

        return when

    def duality(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        if options.gap:
            return gap(those, batch, memo.step, gan, options.coupled)
        return {"worst": worst(those, batch, memo.step, gan)}

    searching = options.bar != "weights"
    lines: list[tuple[str, Loss, str, Callable[[int], bool]]] = [
        (DISCRIMINATOR, telling(generator, discriminator, gan), f"{WEIGHTS}{SHOWN}", during(WEIGHTS)),
        (GENERATOR, passing(generator, discriminator, gan), WEIGHTS, during(WEIGHTS, options.critic_steps)),
        (DISCRIMINATOR_BAR, begun, DISCRIMINATOR_BAR, during(DISCRIMINATOR_BAR)),
        (GENERATOR_BAR, passing(generator_bar, discriminator, gan, searching), GENERATOR_BAR, during(GENERATOR_BAR)),
        (ARCHITECTURE, duality, ARCHITECTURE, during(ARCHITECTURE)),
    ]
    return [
        Phase(name, loss, adams[name], rate, split, when, counted)
        for name, loss, split, when in lines
        if options.gap or name != GENERATOR_BAR
    ]


def _groups(options: SupernetOptions, name: str, those: Players) -> list[dict[str, Any]]:
    """What the optimizer of a player moves; of G-bar, see Table 3."""
    player: Player = getattr(those, name)
    groups: list[dict[str, Any]] = []
    if name != GENERATOR_BAR or options.bar in ("weights", "both"):
        groups.append({"params": list(player.net.parameters())})
    if name == GENERATOR_BAR and options.bar in ("logits", "both"):
        assert player.relaxation is not None
        groups.append(_logits(options, [player.relaxation]))
    return groups


def _logits(options: SupernetOptions, those: Sequence[Relaxation]) -> dict[str, Any]:
    return {
        "params": [logit for each in those for logit in each.parameters()],
        "lr": options.architecture_rate,
        "betas": options.architecture_betas,
        "weight_decay": options.architecture_decay,
    }


def batches(job: Job, options: SupernetOptions, table: Timetable) -> dict[str, Callable[[int], Pair]]:
    """What each part is given at a step; every part goes through its images epoch by epoch, as if it ran alone.

    D-bar and the logits see the validation images, one after the other. The noise of G-bar is of later batches, which
    neither of them reaches.
    """
    found = job.task.batches(job.data, options.schedule)
    counts = table.counts
    bars, both = table.bars, table.bars + table.architecture
    later = counts[DISCRIMINATOR_BAR] + counts[ARCHITECTURE]

    def number(step: int) -> int:
        moment = table.at(step)
        if moment.part in (WEIGHTS, GENERATOR_BAR):
            return moment.number + (later if moment.part == GENERATOR_BAR else 0)
        before = bars if moment.part == ARCHITECTURE else 0
        return (moment.iteration - table.warm) * both + before + moment.place

    taken = {
        WEIGHTS: "train",
        f"{WEIGHTS}{SHOWN}": f"train{SHOWN}",
        DISCRIMINATOR_BAR: f"val{SHOWN}",
        GENERATOR_BAR: "val",
        ARCHITECTURE: "val",
    }
    return {name: _renumbered(found[split], number) for name, split in taken.items()}


def _renumbered(batch: Callable[[int], Pair], number: Callable[[int], int]) -> Callable[[int], Pair]:
    return lambda step: batch(number(step))
