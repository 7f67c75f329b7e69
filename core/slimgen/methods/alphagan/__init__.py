"""AlphaGAN: search of a noise-to-image generator's operations towards a Nash equilibrium (Tian et al. 2021).

`supernet` is Algorithm 1 with Algorithm 2 inside (see `algorithm`); `search` reads off the architecture, within a
budget if there is one; `finetune` trains it from scratch (section 5), together with random architectures and SN-GAN's
hand-designed generator, the family of the original.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn

from slimgen.errors import BudgetError
from slimgen.files import TRIALS, UPDATES, write_json
from slimgen.methods.alone import Course, search_alone
from slimgen.methods.alphagan.algorithm import Counts, batches, phases, timetable
from slimgen.methods.alphagan.gradients import Gradients
from slimgen.methods.alphagan.options import (
    BY_HAND,
    SearchOptions,
    SupernetOptions,
    built,
    check,
    preview,
    search_reads,
    without_effect,
)
from slimgen.methods.alphagan.players import Player, Players, Playing, players
from slimgen.methods.checks import HALVING
from slimgen.methods.drawn import alike
from slimgen.methods.effort import Effort
from slimgen.methods.handing import handed_over, settle
from slimgen.methods.latency import keeping, timed
from slimgen.methods.likeliest import likeliest
from slimgen.methods.method import Found, Trained, found_genotype
from slimgen.methods.relaxation_trace import LIKELIHOOD, likely_trial, read_relaxation, train_traced
from slimgen.methods.rivals import Plan, train_anew
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.registry import find
from slimgen.nets import build_generator, generator_cost, narrowed
from slimgen.nets.pieces import Generators
from slimgen.nets.sngan.discriminator import SPACE as DISCRIMINATOR_SPACE
from slimgen.recipe import Recipe, section
from slimgen.report.pictures import panels
from slimgen.search import Genotype, Objective, Trial
from slimgen.tasks.noise import TEST, latents
from slimgen.tasks.task import Job, from_noise
from slimgen.training.distributed import world
from slimgen.training.fit import Stateful
from slimgen.training.optimizers import Ema

__all__ = ["SECTIONS", "check", "finetune", "preview", "search", "search_reads", "supernet", "without_effect"]

SECTIONS = {"supernet": SupernetOptions, "search": SearchOptions}

DISCRIMINATOR = "discriminator"
"""The prefix of the choices of a searched discriminator, and of the files that describe it."""
FINETUNE_SECTIONS = ("search",)
"""Fine-tuning reads from `search` how large the generators are built."""
RANDOM, HAND_DRAWN = "random", "sngan"


def supernet(job: Job) -> Mapping[str, float]:
    """Run Algorithm 1 and save the logits; the weights are not used again.

    `updates.json` counts the updates of every player; `samples.png` shows pictures of the super-generator.
    """
    options = section(SupernetOptions, job.recipe.supernet, "supernet")
    table = timetable(options)
    both, counts = players(job, options, len(table)), Counts()
    average = Ema(both.generator.net, options.ema) if options.ema is not None else None
    gradients = _gradients(job, options, both)
    state: dict[str, Stateful] = {**both.parts, "counts": counts, "gradients": gradients}
    state |= {} if average is None else {"ema": average}
    searched = {"": both.generator.relaxation, DISCRIMINATOR: both.discriminator.relaxation}
    relaxations = {name: each for name, each in searched.items() if each is not None}
    after_generator = average.update if average is not None else lambda: None
    lines = phases(job, options, both, table, counts, after_generator, gradients) if table else []
    images = batches(job, options, table) if table else {}
    entropy = train_traced(job, relaxations, lines, images, len(table), state)
    if world()[0] == 0 and table:
        net = both.generator.net if average is None else average.module
        shown = Playing(Player(net, both.generator.relaxation), len(table))
        _draw(job, shown if average is None else from_noise(job.task).settled(shown, options.batch))
    write_json(job.out / UPDATES, counts.state_dict())
    about = {"steps": len(table), "updates": counts.counts["generator"], "entropy": entropy}
    return {**about, **gradients.facts()} if table else about


def _gradients(job: Job, options: SupernetOptions, both: Players) -> Gradients:
    """Return the log of what the generator's logits learn from."""
    assert both.generator.relaxation is not None
    flat, first = job.recipe.losses.gan == "hinge" and options.gap != "scores", world()[0] == 0
    return Gradients(job.out if first else None, both.generator.relaxation, flat, job.say)


@torch.no_grad()
def _draw(job: Job, shown: nn.Module) -> None:
    noise = job.compute.place(latents(36, from_noise(job.task).latent, job.recipe.seed, use=TEST))
    torch.manual_seed(job.recipe.seed)
    panels({"supernet": shown.eval()(noise)}, job.out / "samples.png")


def search(job: Job) -> Found:
    """Return the most probable operation of every edge (DARTS, section 2.4), or random or published operations.

    If a budget excludes the most probable architecture, the most probable one within the budget wins.
    """
    options = section(SearchOptions, job.recipe.search, "search")
    training = section(SupernetOptions, job.recipe.supernet, "supernet")
    architectures = Architectures(job)
    if options.kind == HALVING:
        return _halved(architectures, options)
    trials = _chosen(architectures, training, options)
    drawn = []
    if wanted := options.random + (options.kind == RANDOM):
        drawn = alike(
            architectures.space.sample,
            architectures.costs,
            options.params or trials[-1].costs["params"],
            options.equal_size,
            wanted,
            f"{job.recipe.seed}/alike",
            architectures.budget,
        )
    if options.kind == RANDOM:
        kept = architectures.keeping(drawn)
        drawn = [kept, *(genotype for genotype in drawn if genotype != kept)]
    rivals = [architectures.trial(genotype, RANDOM, number) for number, genotype in enumerate(drawn)]
    found, every = rivals[0] if options.kind == RANDOM else trials[-1], [*trials, *rivals]
    if over := architectures.budget.excess(found.costs):
        rule = "the published architecture must be within the budget"
        raise BudgetError(rule, f"{', '.join(over)} above it", "raise the budget")
    if options.kind == "published":
        architectures.keeping([found.genotype])
    if training.discriminator == "searched":
        genotype = read_relaxation(job, DISCRIMINATOR_SPACE, DISCRIMINATOR).argmax().to_json()
        write_json(job.out / f"{DISCRIMINATOR}.json", genotype)
    facts = {"evaluations": float(len(every)), "space_size": float(architectures.space.size)}
    facts |= architectures.timed(found.genotype)
    if training.iterations:
        facts["entropy"] = math.fsum(architectures.entropy.values()) / len(architectures.entropy)
    return Found(found, every, facts, Objective(LIKELIHOOD, "max"))


class Architectures:
    """The searched space with its probabilities, the costs of its architectures as they are built, and the budget."""

    def __init__(self, job: Job) -> None:
        planned, shape = preview(job.recipe), built(job.recipe)
        self.space, self.job, self._counted = planned.space, job, planned.costs
        networks = section(SearchOptions, job.recipe.search, "search").latency_networks
        generators = Generators(self.space, "alphagan", lambda genotype: {"genotype": genotype, **shape})
        self.clock = timed(job, generators, networks)
        self.budget = self.clock.budget(job)
        relaxation = read_relaxation(job, self.space)
        self.entropy, self.logs = relaxation.entropy(), relaxation.log_probabilities()

    def costs(self, genotype: Genotype) -> Mapping[str, float]:
        """Return an architecture's costs, all kinds that the budget may limit."""
        return self.clock.priced(self.job, self._counted(genotype), genotype)

    def likeliest(self) -> Iterator[Genotype]:
        """Yield the most probable architecture within the budget, then within ever lower limits of milliseconds."""
        for budget in self.clock.lowered(self.job):
            yield likeliest(self.space, self.logs, self.costs, budget.limits)

    def keeping(self, genotypes: Iterable[Genotype]) -> Genotype:
        """Return the first genotype whose measured latency is within the limit, if there is one."""
        return keeping(self.job.budget.latency_ms, genotypes, self.clock.measured)

    def timed(self, found: Genotype) -> dict[str, float]:
        """Return facts about latency, where it is limited."""
        measured = {} if self.budget.latency_ms is None else {"latency_measured_ms": self.clock.measured(found)}
        return {**self.clock.facts, **measured}

    def trial(self, genotype: Genotype, step: str, number: int = 0) -> Trial:
        """Return the trial of an architecture: its costs and its log probability."""
        return likely_trial(genotype, self.costs(genotype), self.logs, step, number)


def _chosen(architectures: Architectures, training: SupernetOptions, options: SearchOptions) -> list[Trial]:
    """Return the trials that were not drawn at random, the winner last."""
    if options.kind == "published":
        return [architectures.trial(options.imported(), "published")]
    if not training.iterations:
        return []
    argmax = likeliest(architectures.space, architectures.logs, architectures.costs, {})
    first = [argmax] if architectures.budget.allows(architectures.costs(argmax)) else []
    kept = architectures.keeping(chain(first, architectures.likeliest()))
    trials = [architectures.trial(argmax, "argmax")]
    return trials if kept == argmax else [*trials, architectures.trial(kept, "budget")]


def _halved(architectures: Architectures, options: SearchOptions) -> Found:
    """Return the best of random architectures, each trained by itself as in `finetune`, successively halved."""
    job, clock = architectures.job, architectures.clock
    recipe, steps, metric = job.recipe, updates_of_all(job), job.recipe.objective.metric
    features, reference = recipe.evaluate.features, job.out / "reference"
    images = job.task.validation(job)
    evaluator = Evaluator(images, [metric], compute=job.compute, features=features, reference=reference)

    def train(within: Job, name: str, genotype: Genotype, until: int) -> list[nn.Module]:
        return train_anew(within, name, [plan_of(recipe, genotype)], steps, until)

    def measure(genotype: Genotype, nets: Sequence[nn.Module]) -> dict[str, float]:
        return evaluator.measure(job.compute.ready(nets[0]))

    def macs(genotype: Genotype) -> float:
        return generator_cost(**recipe.size._asdict(), **plan_of(recipe, genotype).generator).exact

    objective = Objective(metric, find(metric).goal)
    space, costs, protocol = architectures.space, architectures.costs, evaluator.protocol
    course = Course(space, costs, macs, objective, steps, train, measure, protocol)
    counts, halving = (options.candidates, options.proposed), course.halving(job, clock.margin)
    halved = search_alone(job, halving, [space], costs, architectures.budget, counts)
    facts = {"space_size": float(space.size), **halved.effort.facts(), **clock.facts}
    accepts = clock.accepts(job.budget.latency_ms, facts)
    found = halved.candidates.found(halved.last, facts, halved.earlier, accepts)
    settle(job, found.trial.genotype)
    return found


def finetune(job: Job) -> Mapping[str, Trained]:
    """Train all `plans` from scratch on all images, equally long, from one seed, each with its own discriminator."""
    wanted, trained, recipe = plans(job), dict[str, Trained](), job.recipe
    updates, halving = updates_of_all(job), section(SearchOptions, recipe.search, "search").kind == HALVING
    for done, (name, plan) in enumerate(wanted.items(), 1):
        net = job.compute.place(build_generator(**plan.generator))
        before, effort = name == "found" and handed_over(job, [net]), None
        if not before:
            (net,) = train_anew(job, name, [plan], updates)
        if name == "found" and halving:
            macs = generator_cost(**recipe.size._asdict(), **plan.generator).exact
            own = Effort.of(updates, recipe.finetune.batch, macs, counted=before)
            effort = Effort.read(job.inputs["search"]).plus(own)
        trained[name] = Trained.of(net, plan.generator, updates, effort)
        job.tell("trainings", done, len(wanted), {})
    return trained


def updates_of_all(job: Job) -> int:
    """Return the updates of every training from scratch: on the images of train and val together."""
    return job.recipe.finetune.steps(sum(len(job.data.split(split)) for split in ("train", "val")))


def plan_of(recipe: Recipe, genotype: Genotype) -> Plan:
    """Return the plan of an architecture, with a discriminator like the original's."""
    found = {"family": "alphagan", "genotype": genotype.to_json(), **built(recipe)}
    return Plan(found, dict(recipe.teach.discriminator))


def plans(job: Job) -> dict[str, Plan]:
    """Return what is trained from scratch: `found`, `by_hand` if the recipe asks for it, and any `random1` and so on.

    `by_hand` is SN-GAN's generator, the narrowest with at least the found one's MACs.
    """
    recipe, before = job.recipe, job.inputs["search"]
    options = section(SearchOptions, recipe.search, "search")
    found = plan_of(recipe, found_genotype(job)).generator
    generators = {"found": found}
    if BY_HAND in recipe.finetune.rivals:
        size, convention = recipe.size, recipe.budget.convention
        macs = generator_cost(**size._asdict(), **found).macs(convention)
        shape: dict[str, Any] = {name: found[name] for name in ("latent", "size", "outputs") if name in found}

        def macs_of(about: Mapping[str, Any]) -> float:
            return generator_cost(HAND_DRAWN, *size, **about).macs(convention)

        narrow = narrowed(HAND_DRAWN, shape, macs_of, macs)
        generators[BY_HAND] = {"family": HAND_DRAWN, **narrow}
    lines = map(json.loads, (before / TRIALS).read_bytes().splitlines())
    trials = [Trial.from_json({**line, "seconds": 0.0}) for line in lines]
    drawn = [trial.genotype for trial in trials if trial.step == RANDOM]
    for number, genotype in enumerate(drawn[options.kind == RANDOM :], 1):
        generators[f"{RANDOM}{number}"] = {**found, "genotype": genotype.to_json()}
    discriminator = dict(recipe.teach.discriminator)
    if options.discriminator == "found":
        discriminator["genotype"] = json.loads((before / f"{DISCRIMINATOR}.json").read_bytes())
    return {name: Plan(generator, discriminator) for name, generator in generators.items()}
