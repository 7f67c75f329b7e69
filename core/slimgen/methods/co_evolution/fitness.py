"""How fit a pair of masks is (Co-Evolutionary Compression, Eqs. 4 to 6, 10, 11 and 13)."""

import copy
import math
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slimgen.data.batches import Batches, Pair, whole
from slimgen.methods.candidates import ROUNDS
from slimgen.methods.co_evolution.options import SearchOptions, SupernetOptions, Tuning
from slimgen.methods.co_evolution.roulette import TURN, TURNS
from slimgen.methods.measuring import CACHE
from slimgen.metrics.cache import Cache
from slimgen.metrics.evaluator import Evaluator, fitting_batch
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.weights import digest, load_weights
from slimgen.recipe import Schedule, section
from slimgen.search import Genotype, Trial
from slimgen.tasks.cycle import Gan, Way, cycle_phases
from slimgen.tasks.guidance import judging, plain
from slimgen.tasks.job import Job
from slimgen.tasks.unpaired import Unpaired
from slimgen.training.distributed import first, spread, world
from slimgen.training.pool import ImagePool

FITNESS, SHARE = "fitness", "share"
OUTPUTS = "outputs.safetensors"


class Side(NamedTuple):
    """One direction of the originals.

    Attributes:
        gan: the original generator, and the discriminator of its images.
        filters: the generator's.
    """

    gan: Gan
    filters: FilterSpace


def sides(job: Job) -> dict[str, Side]:
    """The recipe's direction and the way back, from what `teach` left.

    Raises:
        CheckpointError: the originals of the way back are not there.
    """
    task, teach, recipe = job.task, job.inputs["teach"], job.recipe
    assert isinstance(task, Unpaired)
    discriminator = task.discriminator()
    discriminator.load_state_dict(load_weights(teach / "discriminator.safetensors"))
    authors = section(SupernetOptions, recipe.supernet, "supernet").genome == "authors"
    options = {name: value for name, value in recipe.teach.generator.items() if name != "family"}
    family, example = recipe.teach.generator["family"], torch.zeros(1, 3, recipe.size, recipe.size)
    found = {}
    for name, gan in zip(TURNS, (Gan(task.original(teach), discriminator), task.back(teach)), strict=True):
        for net in gan:
            net.eval().requires_grad_(False)
        filters = FilterSpace(gan.generator, example, family=family, options=options, authors=authors)
        found[name] = Side(gan, filters)
    return found


@torch.no_grad()
def outputs(job: Job, originals: Mapping[str, Side]) -> dict[str, Tensor]:
    """What the originals make of the validation images, and what their discriminators say of it: asked for once.

    Returns:
        For each direction `a.images` (N, 3, H, W) and `a.scores` (N, 1, h, w), float32 on the CPU.
    """
    found = {}
    for (name, side), images in zip(originals.items(), whole(job.data.split("val")), strict=True):
        made, scores = [], []
        for part in torch.split(images, _batch(job, images)):
            with job.compute.autocast():
                made.append(side.gan.generator(job.compute.place(part)).float())
                scores.append(side.gan.discriminator(made[-1]).float())
        found[f"{name}.images"], found[f"{name}.scores"] = torch.cat(made).cpu(), torch.cat(scores).cpu()
    return found


def fitness(share: float, distance: float, cycle: float, options: SearchOptions) -> float:
    """Eq. 11, and Eq. 13: the inverse of the share of weights that stays and the weighted losses."""
    return 1 / (share + options.loss * (distance + options.cycle * cycle))


class Fitness:
    """Judges pairs: one of them is cut out, tuned where the recipe says so, and run beside its partner.

    What the originals make of the images is read from the `supernet` stage. Values are kept in `cache.jsonl`; several
    processes share the individuals of a generation.

    Args:
        job: of the search stage.
        originals: both directions.
        options: of the search.
    """

    def __init__(self, job: Job, originals: Mapping[str, Side], options: SearchOptions) -> None:
        self.job, self.sides, self.options = job, originals, options
        for name in (ROUNDS, CACHE):
            _begin_alike(job, name)
        metric, compute = job.recipe.objective.metric, job.compute
        limit = job.recipe.objective.images
        kept = load_weights(job.inputs["supernet"] / OUTPUTS)
        self._images: dict[str, Tensor] = {}
        self._wanted: dict[str, Tensor] = {}
        self._evaluators: dict[str, Evaluator] = {}
        # Copies, since tuning asks the discriminators in full precision.
        self._judges = {name: compute.ready(copy.deepcopy(side.gan.discriminator)) for name, side in originals.items()}
        for name, images in zip(TURNS, whole(job.data.split("val"), limit), strict=True):
            made, scores = kept[f"{name}.images"][: len(images)], kept[f"{name}.scores"][: len(images)]
            self._images[name] = compute.place(images)
            self._wanted[name] = compute.place(scores if options.criterion == "discriminator" else made)
            folder = job.out / "reference" / name
            self._evaluators[name] = Evaluator(
                (images, made), [metric], compute=compute, features=job.recipe.evaluate.features, reference=folder
            )
        self._cache = Cache(job.out / CACHE)
        weights = {
            f"{name}.{part}.{key}": value
            for name, side in originals.items()
            for part, net in side.gan._asdict().items()
            for key, value in net.state_dict().items()
        }
        self._digest = digest(weights)
        self._partner = lru_cache(maxsize=2)(self._network)

    def trials(self, pairs: Sequence[Genotype]) -> list[Trial]:
        """One trial for each pair, in order: the costs and the quality of the one whose turn it is."""
        known = {pair: self._cache.get(pair.key, self._digest, self._protocol(pair)) for pair in pairs}
        missing = [pair for pair, values in known.items() if values is None]
        seconds: dict[Genotype, float] = {}
        rank, _ = world()

        def judged(pair: Genotype) -> tuple[dict[str, float], float]:
            started = time.monotonic()
            values = self.quality(pair)
            if rank == 0:  # at once, so that a search killed amid a generation loses little
                self._cache.put(pair.key, self._digest, self._protocol(pair), values)
            return values, time.monotonic() - started

        for pair, (values, taken) in zip(missing, spread(missing, judged), strict=True):
            if self._cache.get(pair.key, self._digest, self._protocol(pair)) is None:
                self._cache.put(pair.key, self._digest, self._protocol(pair), values)
            known[pair], seconds[pair] = values, taken
        return [Trial(pair, self.costs(pair), known[pair] or {}, seconds=seconds.get(pair, 0.0)) for pair in pairs]

    def costs(self, pair: Genotype) -> dict[str, float]:
        """What the generator costs whose turn it is."""
        turn = str(pair[TURN])
        return self.costs_of(turn, pair.under(turn))

    def costs_of(self, turn: str, genotype: Genotype) -> dict[str, float]:
        """What a generator of one direction costs, under the budget's convention."""
        size = self.job.recipe.size
        cost = self.sides[turn].filters.cost(genotype, size, size)
        return {name: float(value) for name, value in cost.as_dict(self.job.recipe.budget.convention).items()}

    def quality(self, pair: Genotype) -> dict[str, float]:
        """The fitness and what it is made of: share of weights, both losses; and the recipe's metric."""
        turn, other, own = _whose(pair)
        side = self.sides[turn]
        net = self._network(turn, own) if self.options.tuning is None else self._tuned(pair, self.options.tuning)
        partner = self._partner(other, pair.under(other))
        images, wanted, made = self._images[turn], self._wanted[turn], []
        distance = cycle = torch.zeros((), dtype=torch.float64, device=images.device)
        batch = _batch(self.job, images)
        for shown, known in zip(torch.split(images, batch), torch.split(wanted, batch), strict=True):
            with torch.inference_mode(), self.job.compute.autocast():
                fake = net(shown).float()
                seen = self._judges[turn](fake).float() if self.options.criterion == "discriminator" else fake
                distance = distance + (seen - known).square().double().sum()
                cycle = cycle + (partner(fake).float() - shown).square().double().sum()
            made.append(fake)
        share = side.filters.share(own)
        losses = float(distance) / wanted.numel(), float(cycle) / images.numel()
        value = fitness(share, *losses, self.options) if all(map(math.isfinite, losses)) else math.nan
        # Eq. 5 and Eq. 6 with the mean square for the squared norm, which would grow with the size of the images.
        found = {FITNESS: value, SHARE: share, "distance": losses[0], "cycle": losses[1]}
        return found | self._evaluators[turn].score(torch.cat(made))

    def _network(self, turn: str, genotype: Genotype) -> nn.Module:
        return self.job.compute.ready(self.sides[turn].filters.cut(genotype))

    def _tuned(self, pair: Genotype, tuning: Tuning) -> nn.Module:
        """The individual after a few steps of CycleGAN's training on its own, the same for all: section 3.2."""
        turn, other, own = _whose(pair)
        job, compute = self.job, self.job.compute
        net = compute.place(self.sides[turn].filters.cut(own)).train().requires_grad_(True)
        images = job.data.split("train")
        steps = max(1, round(tuning.share * len(images) / tuning.batch))
        recipe = job.recipe
        batches = Batches(images, batch=tuning.batch, seed=recipe.seed, crop=recipe.size, flip=recipe.data.flip)
        ways = [
            Way(plain(generator), judging(self.sides[name].gan.discriminator), ImagePool(0), held)
            for name, generator, held in (
                (turn, net, False),
                (other, self._partner(other, pair.under(other)), True),
            )
        ]
        moved, held = [{"params": list(net.parameters())}], [{"params": [nn.Parameter(torch.zeros(1))]}]
        schedule = Schedule(updates=steps, batch=tuning.batch, rate=tuning.rate, decay=0.0)
        # Not by `fit`: processes share the candidates here, and not the batch of one.
        phase = cycle_phases(ways[0], ways[1], moved, held, recipe.losses, schedule, steps)[0]
        for step in range(steps):
            torch.manual_seed(recipe.seed * 1_000_003 + step)
            batch = Pair(*(compute.place(each) for each in batches(step)))
            phase.optimizer.zero_grad(set_to_none=True)
            with compute.autocast():
                terms = phase.loss(batch if turn == TURNS[0] else Pair(*reversed(batch)), Genotype({}), {"step": step})
            torch.stack([term.float() for term in terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
            phase.optimizer.step()
        return compute.ready(net.requires_grad_(False))

    def _protocol(self, pair: Genotype) -> str:
        """All that a fitness depends on besides the pair and the originals."""
        names = {"loss", "cycle", "criterion", "tuning"}
        protocol = f"{self._evaluators[str(pair[TURN])].protocol}; {self.options.model_dump_json(include=names)}"
        if self.options.tuning is None:
            return protocol
        recipe, images = self.job.recipe, self.job.data.manifest.splits["train"].sha256
        content = "-".join(images[side][:12] for side in sorted(images))
        how = f"seed {recipe.seed}, flip {recipe.data.flip}, {recipe.losses.model_dump_json()}"
        return f"{protocol}; tuned on content {content}, {how}"


def _whose(pair: Genotype) -> tuple[str, str, Genotype]:
    """Whose turn it is, the other one's name, and the individual that is judged."""
    turn = str(pair[TURN])
    return turn, TURNS[1 - TURNS.index(turn)], pair.under(turn)


def _batch(job: Job, images: Tensor) -> int:
    return fitting_batch(images.shape[-2:], job.compute.device)


def _begin_alike(job: Job, name: str) -> None:
    """Gives every process the first one's file, so that all replay the same and know the same values."""
    file = job.out / name
    content = first(lambda: file.read_bytes() if file.exists() else None)
    if world()[0] > 0 and content is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
