"""AlphaGAN: the operations of a generator of noise, searched towards a Nash equilibrium (Tian et al. 2021).

`supernet` is Algorithm 1 with Algorithm 2 inside; `search` reads off its architecture, within a budget if there is one;
`finetune` trains it anew (section 5). The original is what it is compared with: SN-GAN's generator, drawn by hand.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from slimgen.errors import BudgetError
from slimgen.files import LOGITS, PLAN, UPDATES, write_json
from slimgen.methods.alphagan.choice import Logs, alike, likeliest
from slimgen.methods.alphagan.options import SearchOptions, SupernetOptions, check
from slimgen.methods.alphagan.phases import Counts, batches, phases
from slimgen.methods.alphagan.players import Player, Playing, of_noise, players
from slimgen.methods.alphagan.retraining import finetune
from slimgen.methods.alphagan.timetable import Timetable
from slimgen.methods.method import Found
from slimgen.methods.relaxation_trace import LIKELIHOOD, Trace, spaced
from slimgen.nets.alphagan.cost import alphagan_cost
from slimgen.nets.alphagan.space import alphagan_space
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.sngan.discriminator import discriminator_space
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import section
from slimgen.report.pictures import panels
from slimgen.search import Budget, Genotype, Objective, Space, Trial
from slimgen.tasks.noise import TEST, latents
from slimgen.tasks.task import Job
from slimgen.training.distributed import world
from slimgen.training.draws import fixed
from slimgen.training.ema import Ema
from slimgen.training.fit import Stateful, fit

__all__ = ["SearchOptions", "SupernetOptions", "check", "finetune", "search", "supernet"]

JUDGE = "discriminator"
"""The beginning of the names of a searched discriminator's choices."""
_PICTURES = 36


def supernet(job: Job) -> Mapping[str, float]:
    """Algorithm 1; leaves the logits, for the weights are not used again.

    `updates.json` counts the updates of every player. Pictures of the super-generator are in `samples.png`.

    Returns:
        Steps, updates of the generator, and the mean entropy of the choices, in nats.
    """
    options = section(SupernetOptions, job.recipe.supernet, "supernet")
    table = timetable(options)
    those, counts = players(job, options, table.steps), Counts()
    average = Ema(those.generator.net, options.ema) if options.ema is not None else None
    state: dict[str, Stateful] = {**those.parts, "counts": counts}
    if average is not None:
        state["ema"] = average
    searched = {"": those.generator.relaxation, JUDGE: those.discriminator.relaxation}
    relaxations = {name: each for name, each in searched.items() if each is not None}
    trace = Trace(job.out, relaxations, spaced(table.steps))
    if table.steps:
        fit(
            phases(job, options, those, table, counts, average.update if average is not None else lambda: None),
            fixed(Genotype({})),
            batches(job, options, table),
            table.steps,
            seed=job.recipe.seed,
            compute=job.compute,
            state=state,
            journal=trace.watching(job.journal("supernet")),
        )
    if world()[0] == 0 and table.steps:
        net = those.generator.net if average is None else average.module
        shown = Playing(Player(net, those.generator.relaxation), table.steps)
        _draw(job, shown if average is None else of_noise(job).settled(shown, options.batch))
    for name, each in relaxations.items():
        save_weights(job.out / f"{name and f'{name}_'}{LOGITS}", each.state_dict())
    write_json(job.out / UPDATES, counts.state_dict())
    return {"steps": table.steps, "updates": counts.counts["generator"], "entropy": trace.entropy()}


def timetable(options: SupernetOptions) -> Timetable:
    """The steps that the options ask for."""
    return Timetable(
        options.iterations,
        options.weight_steps,
        options.bar_steps,
        options.architecture_steps,
        # As the decimal that was written: 0.29 of 100 are 29, which floats just miss.
        int(Fraction(str(options.warm_up)) * options.iterations),
    )


@torch.no_grad()
def _draw(job: Job, shown: nn.Module) -> None:
    noise = job.compute.place(latents(_PICTURES, of_noise(job).latent, job.recipe.seed, use=TEST))
    torch.manual_seed(job.recipe.seed)
    panels({"supernet": shown.eval()(noise)}, job.out / "samples.png")


def search(job: Job) -> Found:
    """The most probable operation of every edge (DARTS, section 2.4); or random ones, or ones from elsewhere.

    Where a budget excludes the most probable architecture, it is the most probable one within. Leaves `plan.json`
    beside the genotype: what is to be trained.
    """
    options = section(SearchOptions, job.recipe.search, "search")
    training = section(SupernetOptions, job.recipe.supernet, "supernet")
    place = Place(job, training, options)
    trials = _chosen(place, training, options)
    drawn = []
    if wanted := options.random + (options.kind == "random"):
        params = options.params or trials[-1].costs["params"]
        seed = job.recipe.seed
        those = alike(place.space, place.costs, place.budget, params, options.equal_size, wanted, seed)
        drawn = [place.trial(genotype, "random", number) for number, genotype in enumerate(those)]
    found, rivals = (drawn[0], drawn[1:]) if options.kind == "random" else (trials[-1], drawn)
    if over := place.budget.excess(found.costs):
        raise BudgetError("a published architecture is within the budget", f"{', '.join(over)} above it", "raise it")
    judge = None
    if training.discriminator == "searched":
        judge = _relaxation(job, discriminator_space(), f"{JUDGE}_{LOGITS}").argmax().to_json()
        write_json(job.out / "discriminator.json", judge)
    plan = {
        "generator": place.options,
        "rivals": [trial.genotype.to_json() for trial in rivals],
        "discriminator": judge if options.discriminator == "found" else None,
    }
    write_json(job.out / PLAN, plan)
    every = [*trials, *drawn]
    facts = {"evaluations": float(len(every)), "space_size": float(place.space.size)}
    if training.iterations:
        facts["entropy"] = math.fsum(place.entropy.values()) / len(place.entropy)
    return Found(found, every, place.limits, facts, Objective(LIKELIHOOD, "max"))


class Place:
    """Where architectures are looked for: the space, its probabilities, what they cost as they are built, the budget.

    Args:
        job: of the stage.
        training: section `supernet`.
        options: section `search`.
    """

    def __init__(self, job: Job, training: SupernetOptions, options: SearchOptions) -> None:
        recipe = job.recipe
        self.size, self.convention = recipe.size, recipe.budget.convention
        self.space = alphagan_space(training.deconvolution)
        self.options: dict[str, Any] = {
            "channels": options.channels or training.channels,
            "latent": of_noise(job).latent,
            "size": recipe.size,
            "interpolation": training.interpolation,
        }
        relaxation = _relaxation(job, self.space, LOGITS)
        self.entropy = relaxation.entropy()
        self.logs: Logs = relaxation.log_probabilities()
        original = job.task.original_cost().as_dict(self.convention)
        self.limits = recipe.budget.resolve({name: float(value) for name, value in original.items()})
        self.budget = Budget(**self.limits)

    def costs(self, genotype: Genotype) -> dict[str, float]:
        """MACs under the budget's convention, parameters and bytes, in closed form."""
        cost = alphagan_cost(self.size, self.size, genotype=genotype, **self.options)
        return {name: float(value) for name, value in cost.as_dict(self.convention).items()}

    def trial(self, genotype: Genotype, step: str, number: int = 0) -> Trial:
        """An architecture, what it costs, and how probable it is."""
        nats = math.fsum(self.logs[name][genotype[name]] for name in self.logs)
        return Trial(genotype, self.costs(genotype), {LIKELIHOOD: nats}, number, step)


def _chosen(place: Place, training: SupernetOptions, options: SearchOptions) -> list[Trial]:
    """The architectures that were not drawn, the one that counts last."""
    if options.kind == "published":
        return [place.trial(options.imported(), "published")]
    if not training.iterations:
        return []
    trials = [place.trial(likeliest(place.space, place.logs, place.costs, {}), "argmax")]
    if not place.budget.allows(trials[0].costs):
        trials.append(place.trial(likeliest(place.space, place.logs, place.costs, place.limits), "budget"))
    return trials


def _relaxation(job: Job, space: Space, name: str) -> Relaxation:
    """The logits that the supernet's stage left."""
    found = Relaxation(space, seed=0)
    found.load_state_dict(load_weights(job.inputs["supernet"] / name))
    return found
