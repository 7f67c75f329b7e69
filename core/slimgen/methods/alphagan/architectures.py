"""AlphaGAN's searched space with its costs, and the comparison of architectures that are trained by themselves."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from torch import nn

from slimgen.methods.alone import Course, search_alone
from slimgen.methods.alphagan.options import SearchOptions, built, judged_updates, preview
from slimgen.methods.halving import Halving
from slimgen.methods.handing import settle
from slimgen.methods.latency import keeping, timed
from slimgen.methods.likeliest import likeliest
from slimgen.methods.method import Found
from slimgen.methods.relaxation_trace import likely_trial, read_relaxation
from slimgen.methods.repeats import told
from slimgen.methods.rivals import Plan, train_anew
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.registry import find
from slimgen.nets import generator_cost
from slimgen.nets.pieces import Generators
from slimgen.recipe import Recipe, section
from slimgen.search import Genotype, Objective, Trial
from slimgen.tasks.task import Job

JUDGED = "repeats"  # the step in which repeats are compared


def folder_of(supernet: Path, number: int) -> Path:
    """Return the folder of a repeat's files in that of the supernets, counting from 0."""
    return supernet / f"repeat{number}" if number else supernet


class Architectures:
    """The searched space with its probabilities, the costs of its architectures as they are built, and the budget."""

    def __init__(self, job: Job) -> None:
        planned, shape = preview(job.recipe), built(job.recipe)
        self.space, self.job, self._counted = planned.space, job, planned.costs
        networks = section(SearchOptions, job.recipe.search, "search").latency_networks
        generators = Generators(self.space, "alphagan", lambda genotype: {"genotype": genotype, **shape})
        self.clock = timed(job, generators, networks)
        self.budget = self.clock.budget(job)
        self._read(job.inputs["supernet"])

    def _read(self, supernet: Path) -> None:
        relaxation = read_relaxation(replace(self.job, inputs={"supernet": supernet}), self.space)
        self.entropy, self.logs = relaxation.entropy(), relaxation.log_probabilities()

    def of_repeat(self, number: int) -> Self:
        """Return the same with the probabilities that a repeat of the search came to."""
        other = copy.copy(self)
        other._read(folder_of(self.job.inputs["supernet"], number))
        return other

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


class Judge:
    """Trainings of architectures by themselves, from scratch as in `finetune`, compared by the objective."""

    def __init__(self, architectures: Architectures) -> None:
        job = architectures.job
        self.job, self.objective = job, objective_of(job)
        self._evaluator = evaluator_of(job)
        course = Course(
            *(architectures.space, architectures.costs, self._macs, self.objective),
            *(updates_of_all(job), self._train, self._measure, self._evaluator.protocol),
        )
        self.halving: Halving = course.halving(job, architectures.clock.margin)

    def _macs(self, genotype: Genotype) -> float:
        recipe = self.job.recipe
        return generator_cost(**recipe.size._asdict(), **plan_of(recipe, genotype).generator).exact

    def _train(self, within: Job, name: str, genotype: Genotype, until: int) -> list[nn.Module]:
        return train_anew(within, name, [plan_of(self.job.recipe, genotype)], updates_of_all(self.job), until)

    def _measure(self, genotype: Genotype, nets: Sequence[nn.Module]) -> dict[str, float]:
        return self._evaluator.measure(self.job.compute.ready(nets[0]))


def objective_of(job: Job) -> Objective:
    """Return the recipe's objective."""
    metric = job.recipe.objective.metric
    return Objective(metric, find(metric).goal)


def evaluator_of(job: Job) -> Evaluator:
    """Return the evaluation of generators by the recipe's objective, on the validation images."""
    features, reference = job.recipe.evaluate.features, job.out / "reference"
    metrics = [job.recipe.objective.metric]
    return Evaluator(job.task.validation(job), metrics, compute=job.compute, features=features, reference=reference)


def halved(architectures: Architectures, options: SearchOptions) -> Found:
    """Return the best of random architectures, each trained by itself as in `finetune`, successively halved."""
    job, clock, halving = architectures.job, architectures.clock, Judge(architectures).halving
    counts = options.candidates, options.proposed
    space, costs = architectures.space, architectures.costs
    outcome = search_alone(job, halving, [space], costs, architectures.budget, counts)
    facts = {"space_size": float(space.size), **outcome.effort.facts(), **clock.facts}
    accepts = clock.accepts(job.budget.latency_ms, facts)
    found = outcome.candidates.found(outcome.last, facts, outcome.earlier, accepts)
    settle(job, found.trial.genotype)
    return found


def best_of_repeats(architectures: Architectures, chosen: Sequence[Trial], options: SearchOptions) -> Found:
    """Return the best of what repeats of a search found, or of random architectures.

    All are trained from the same seed for the same number of updates. Facts tell the quality of each, and its
    parameters; one that was found twice is trained once.

    Args:
        architectures: the space.
        chosen: the trial of each repeat, with its log-probability.
        options: the section `search`.
    """
    job, clock, judge = architectures.job, architectures.clock, Judge(architectures)
    halving, until = judge.halving, judged_updates(options, updates_of_all(job))
    genotypes = list(dict.fromkeys(trial.genotype for trial in chosen))
    trials = halving.measure(genotypes, until, step=JUDGED)
    of = {trial.genotype: trial for trial in trials}
    facts = {"space_size": float(architectures.space.size), "judged_after": float(until)}
    for number, trial in enumerate(chosen):
        measured = of[trial.genotype]
        facts |= told(number, {**measured.quality, **trial.quality, "params": measured.costs["params"]})
    facts |= {**halving.effort.facts(), **clock.facts}
    accepts = clock.accepts(job.budget.latency_ms, facts)
    found = halving.candidates(until).found(trials, facts, (), accepts)
    settle(job, found.trial.genotype)
    return found


def updates_of_all(job: Job) -> int:
    """Return the updates of every training from scratch: on the images of train and val together."""
    return job.recipe.finetune.steps(sum(len(job.data.split(split)) for split in ("train", "val")))


def plan_of(recipe: Recipe, genotype: Genotype) -> Plan:
    """Return the plan of an architecture, with a discriminator like the original's."""
    found = {"family": "alphagan", "genotype": genotype.to_json(), **built(recipe)}
    return Plan(found, dict(recipe.teach.discriminator))
