"""Fitness of a pair of masks (Co-Evolutionary Compression, Eqs. 4 to 6, 10, 11 and 13)."""

import copy
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair, whole
from slimgen.errors import RunError
from slimgen.files import DISCRIMINATOR
from slimgen.methods.checks import priced
from slimgen.methods.co_evolution.options import SearchOptions, SupernetOptions
from slimgen.methods.co_evolution.roulette import TURN, TURNS
from slimgen.methods.effort import Effort
from slimgen.methods.latency import UNTIMED, Timed
from slimgen.methods.trials import Measured, Setup, Trials
from slimgen.metrics.evaluator import Evaluator, fitting_batch
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.weights import digest, load_weights
from slimgen.recipe import Recipe, Schedule, section
from slimgen.search import Genotype, Objective, Trial
from slimgen.tasks.cycle import Direction, Gan, cycle_phases
from slimgen.tasks.task import Job, both_ways
from slimgen.training.distributed import alone
from slimgen.training.draws import fixed
from slimgen.training.fit import fit
from slimgen.training.pool import ImagePool

FITNESS, SHARE, SUM = "fitness", "share", "sum_of_directions"
OUTPUTS = "outputs.safetensors"


class Side(NamedTuple):
    """One direction of the originals: its generator and discriminator, and the generator's filters."""

    gan: Gan
    filters: FilterSpace


def sides(job: Job) -> dict[str, Side]:
    """Read the forward and the reverse originals from `teach`; raise CheckpointError where one is missing."""
    task, teach, recipe = both_ways(job.task), job.inputs["teach"], job.recipe
    discriminator = task.discriminator()
    discriminator.load_state_dict(load_weights(teach / DISCRIMINATOR))
    found = {}
    for name, gan in zip(TURNS, (Gan(task.original(teach), discriminator), task.reverse(teach)), strict=True):
        for net in gan:
            net.eval().requires_grad_(False)
        found[name] = Side(gan, filters_of(recipe, gan.generator))
    return found


def filters_of(recipe: Recipe, original: nn.Module) -> FilterSpace:
    """Return the filter space of an original generator of a recipe."""
    authors = section(SupernetOptions, recipe.supernet, "supernet").genome == "authors"
    options = {name: value for name, value in recipe.teach.generator.items() if name != "family"}
    family, example = recipe.teach.generator["family"], torch.zeros(1, recipe.channels.given, *recipe.size)
    return FilterSpace(original, example, family=family, options=options, authors=authors)


@torch.no_grad()
def outputs(job: Job, originals: Mapping[str, Side]) -> dict[str, Tensor]:
    """Return the originals' outputs for the validation images, and their discriminators' scores of these.

    Returns:
        For each direction, such as `a`: `a.images` (N, C, H, W) and `a.scores` (N, 1, h, w), float32 on the CPU.
    """
    found = {}
    for (name, side), images in zip(originals.items(), whole(job.data.split("val")), strict=True):
        made, scores = [], []
        for part in torch.split(images, fitting_batch(images.shape[-2:], job.compute.device)):
            with job.compute.autocast():
                made.append(side.gan.generator(job.compute.place(part)).float())
                scores.append(side.gan.discriminator(made[-1]).float())
        found[f"{name}.images"], found[f"{name}.scores"] = torch.cat(made).cpu(), torch.cat(scores).cpu()
    return found


def fitness(share: float, removed: int, distance: float, cycle: float, options: SearchOptions) -> float:
    """Return the fitness: the inverse of the sum of the share of weights that stays and the weighted losses.

    With `search.fitness: authors`, it is that of the published code, which counts the filters `removed`.
    """
    losses = distance + options.cycle * cycle
    if options.fitness == "authors":
        return 500 / max(losses, 1e-12) + 0.001 * removed
    return 1 / (share + options.loss * losses)  # Eqs. 11 and 13


class Fitness(Trials):
    """Trials of pairs: one generator is pruned, tuned where the recipe says so, and measured with its partner."""

    def __init__(self, job: Job, originals: Mapping[str, Side], options: SearchOptions, clock: Timed = UNTIMED) -> None:
        weights = {
            f"{name}.{part}.{key}": value
            for name, side in originals.items()
            for part, net in side.gan._asdict().items()
            for key, value in net.state_dict().items()
        }
        self.weights = digest(weights)
        super().__init__(job, Objective(FITNESS, "max"), self.weights, clock.margin)
        self.sides, self.options, self.clock = originals, options, clock
        recipe, compute = job.recipe, job.compute
        kept = load_weights(job.inputs["supernet"] / OUTPUTS)  # the originals' outputs
        self._images, self._wanted = dict[str, Tensor](), dict[str, Tensor]()
        self._evaluators: dict[str, Evaluator] = {}
        # Copies, since tuning calls the discriminators in full precision.
        self._discriminators = {
            name: compute.ready(copy.deepcopy(side.gan.discriminator)) for name, side in originals.items()
        }
        for name, images in zip(TURNS, whole(job.data.split("val"), recipe.objective.images), strict=True):
            made, scores = kept[f"{name}.images"][: len(images)], kept[f"{name}.scores"][: len(images)]
            self._images[name] = compute.place(images)
            wanted = self._reduced(scores) if options.criterion == "discriminator" else made
            self._wanted[name] = compute.place(wanted)
            metric, features, folder = recipe.objective.metric, recipe.evaluate.features, job.out / "reference" / name
            self._evaluators[name] = Evaluator(
                (images, made), [metric], compute=compute, features=features, reference=folder
            )
        # A partner is a function of its own masks alone, so every process and every resumed search has the same one.
        self._partner = lru_cache(maxsize=2)(self._champion)

    def count(self, genotype: Genotype) -> dict[str, float]:
        """Return the costs of the generator that is measured."""
        turn = str(genotype[TURN])
        return self.costs_of(turn, genotype.under(turn))

    def costs_of(self, turn: str, genotype: Genotype) -> dict[str, float]:
        """Return the costs of one direction's generator, under the budget's convention."""
        size = self.job.recipe.size
        counted = priced(self.sides[turn].filters.cost(genotype, *size), self.job.recipe)
        return self.clock.priced(self.job, counted, genotype)

    def allows_of(self, turn: str, genotype: Genotype) -> bool:
        """Return whether one direction's generator is within the budget."""
        return self.budget.allows(self.costs_of(turn, genotype))

    def measure(self, genotype: Genotype, setup: Setup) -> Measured:
        """Return the quality of a pair."""
        started = time.monotonic()
        return Measured(self.quality(genotype), seconds=time.monotonic() - started)

    def quality(self, pair: Genotype) -> dict[str, float]:
        """Return the fitness, its terms (share of weights, both losses), and the recipe's metric."""
        turn, other, own = _whose(pair)
        partner = self._partner(other, pair.under(other))
        net = self._network(turn, own) if self.options.tuning is None else self._tuned(turn, own, partner)
        return self.beside(turn, own, net, partner)

    def beside(self, turn: str, own: Genotype, net: nn.Module, partner: nn.Module) -> dict[str, float]:
        """Return the quality of one direction's generator with a partner of the other direction; see `quality`."""
        side = self.sides[turn]
        images, wanted, made = self._images[turn], self._wanted[turn], []
        distance = cycle = torch.zeros((), dtype=torch.float64, device=images.device)
        batch = fitting_batch(images.shape[-2:], self.job.compute.device)
        for shown, known in zip(torch.split(images, batch), torch.split(wanted, batch), strict=True):
            with torch.inference_mode(), self.job.compute.autocast():
                fake = net(shown).float()
                seen = fake
                if self.options.criterion == "discriminator":
                    seen = self._reduced(self._discriminators[turn](fake).float())
                distance = distance + (seen - known).square().double().sum()  # Eq. 5; or Eq. 4
                cycle = cycle + (partner(fake).float() - shown).square().double().sum()  # Eq. 6
            made.append(fake)
        share = side.filters.share(own)
        losses = float(distance) / wanted.numel(), float(cycle) / images.numel()
        removed = "".join(map(str, own.values())).count("0")
        value = fitness(share, removed, *losses, self.options) if all(map(math.isfinite, losses)) else math.nan
        # Mean squares in place of the squared norms, which would grow with the size of the images.
        found = {FITNESS: value, SHARE: share, "distance": losses[0], "cycle": losses[1]}
        return found | self._evaluators[turn].score(torch.cat(made))

    def _reduced(self, scores: Tensor) -> Tensor:
        """Return what is compared of the scores (N, 1, h, w): all of them, or, as published, each image's mean."""
        return scores.mean((1, 2, 3)) if self.options.fitness == "authors" else scores

    def _network(self, turn: str, genotype: Genotype) -> nn.Module:
        return self.job.compute.ready(self.sides[turn].filters.cut(genotype))

    def _is_whole(self, turn: str, genotype: Genotype) -> bool:
        return genotype == self.sides[turn].filters.space.largest()

    def _champion(self, turn: str, genotype: Genotype) -> nn.Module:
        """Return a generator as the other direction's partner: tuned once, beside the whole original, if it is cut."""
        other = TURNS[1 - TURNS.index(turn)]
        if self.options.tuning is None or self._is_whole(turn, genotype):
            return self._network(turn, genotype)
        return self._tuned(turn, genotype, self._network(other, self.sides[other].filters.space.largest()))

    def _tuned(self, turn: str, own: Genotype, partner: nn.Module) -> nn.Module:
        """Return a pruned generator after a short CycleGAN training beside a partner (section 3.2)."""
        other, tuning = TURNS[1 - TURNS.index(turn)], self.options.tuning
        assert tuning is not None
        recipe, compute = self.job.recipe, self.job.compute
        net = compute.place(self.sides[turn].filters.cut(own)).train()
        steps = tuning.steps(len(self.job.data.split("train")))
        schedule = Schedule(updates=steps, batch=tuning.batch, rate=tuning.rate, decay=0.0)
        one, two = (
            Direction(generator, self.sides[name].gan.discriminator, ImagePool(0), held)
            for name, generator, held in ((turn, net, False), (other, partner, True))
        )
        moved, held = [{"params": list(net.parameters())}], [{"params": [nn.Parameter(torch.zeros(1))]}]
        phase = cycle_phases((one, two), moved, held, recipe.losses, schedule, steps)[0]
        # Processes share the candidates here, not the batches.
        with alone(), suppress(RunError):  # a diverged generator gets no finite fitness
            batches = self.job.task.batches(self.job.data, schedule)["train"]

            def batch(step: int) -> Pair:
                return batches(step) if turn == TURNS[0] else Pair(*reversed(batches(step)))

            draw = fixed(Genotype({}))
            fit([phase], draw, {"train": batch}, steps, seed=recipe.seed, compute=compute, state={})
        return compute.ready(net.requires_grad_(False))

    def joint(self, *directions: Trial) -> float:
        """Return the sum over both directions of a pair that Co-Evolution minimises (Eq. 8)."""
        terms = [trial.quality for trial in directions]
        loss, cycle = self.options.loss, self.options.cycle
        return sum(one[SHARE] + loss * (one["distance"] + cycle * one["cycle"]) for one in terms)

    def least(self, trials: Sequence[Trial]) -> tuple[Trial, Trial]:
        """Return the trials of the pair whose sum over both directions is least; they follow each other."""
        pairs = list(zip(trials[::2], trials[1::2], strict=True))
        sums = [self.joint(*pair) for pair in pairs]
        return min(zip(sums, pairs, strict=True), key=lambda one: one[0] if math.isfinite(one[0]) else math.inf)[1]

    def effort(self, trials: Sequence[Trial]) -> Effort:
        """Return the effort of tuning the candidates of these trials, and their partners, each once."""
        if self.options.tuning is None:
            return Effort()
        tuned = [(str(trial.genotype[TURN]), trial.genotype.under(str(trial.genotype[TURN]))) for trial in trials]
        partners = {(_whose(trial.genotype)[1], trial.genotype.under(_whose(trial.genotype)[1])) for trial in trials}
        tuned += [(turn, one) for turn, one in sorted(partners, key=str) if not self._is_whole(turn, one)]
        macs = [self.sides[turn].filters.cost(one, *self.job.recipe.size).exact for turn, one in tuned]
        steps = self.options.tuning.steps(len(self.job.data.split("train")))
        return Effort.candidates(macs, steps, self.options.tuning.batch)

    def facts(self, reverse: Trial) -> dict[str, float]:
        """Return facts besides the winner: about the reverse direction, the genome and the latency table."""
        return {
            "bits": float(self.sides[TURNS[0]].filters.bits),
            **{f"reverse_{name}": value for name, value in reverse.costs.items()},
            f"reverse_{FITNESS}": reverse.quality[FITNESS],
            **self.clock.facts,
        }

    def protocol(self, genotype: Genotype) -> str:
        """Return everything that a fitness depends on besides the pair and the originals, as text."""
        protocol = self.protocol_of(str(genotype[TURN]))
        if self.options.tuning is None:
            return protocol
        recipe, images = self.job.recipe, self.job.data.manifest.splits["train"].sha256
        content = "-".join(images[side][:12] for side in sorted(images))
        how = f"seed {recipe.seed}, flip {recipe.data.flip}, {recipe.losses.model_dump_json()}"
        return f"{protocol}; both tuned on content {content}, {how}"

    def protocol_of(self, turn: str) -> str:
        """Return the settings that the fitness of one direction depends on, as text."""
        names = {"fitness", "loss", "cycle", "criterion", "tuning"}
        return f"{self._evaluators[turn].protocol}; {self.options.model_dump_json(include=names)}"


def _whose(pair: Genotype) -> tuple[str, str, Genotype]:
    """Return the direction whose turn it is, the other direction, and the individual that is measured."""
    turn = str(pair[TURN])
    return turn, TURNS[1 - TURNS.index(turn)], pair.under(turn)
