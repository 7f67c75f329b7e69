"""CF-GAN's networks, the parameter groups of its sparsity penalty, and the training of single candidates."""

from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from slimgen.files import DISCRIMINATOR, GENERATOR
from slimgen.methods.cf_gan.options import SupernetOptions, options_of, training_of
from slimgen.methods.effort import Effort
from slimgen.methods.rivals import Entrant
from slimgen.methods.tuning import Opponent, Tuning
from slimgen.nets import build_generator
from slimgen.nets.cf_gan.layers import written
from slimgen.nets.cf_gan.superdiscriminator import SuperDiscriminator
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.cf_gan.upscale_trellis import UpscaleTrellis
from slimgen.nets.initial import initialise
from slimgen.nets.supernet import Gates, pinned
from slimgen.nets.weights import load_weights
from slimgen.search import Genotype, Space, Value
from slimgen.tasks.gan import original_guidance
from slimgen.tasks.guidance import Discriminate
from slimgen.tasks.task import Job
from slimgen.training.draws import Draw

SUPERNETS: Mapping[str, Callable[[Any], Trellis]] = {"trellis": Trellis, "upscale_trellis": UpscaleTrellis}
"""The family of a space's generators to its super-generator."""


class Wide(NamedTuple):
    """The super-generator and the super-discriminator."""

    generator: Trellis
    discriminator: SuperDiscriminator


def networks(job: Job, options: SupernetOptions, folder: Path | None = None) -> Wide:
    """Return super-generator and super-discriminator, initialised from the recipe's seed or with a stage's weights."""
    shape, inputs = options.shape, job.task.discriminator_inputs
    generator = initialise(SUPERNETS[shape.family](shape), job.recipe.seed)
    discriminator = initialise(
        SuperDiscriminator(options.groups, options.ndf, inputs, shape.scales), job.recipe.seed + 1
    )
    if folder is not None:
        generator.load_state_dict(load_weights(folder / GENERATOR))
        discriminator.load_state_dict(load_weights(folder / DISCRIMINATOR))
    # The search sorts the channels; where widths are drawn from the start, their order is fixed.
    generator.sorted = options.widths == "drawn" or (folder is not None and folder == job.inputs.get("search"))
    return Wide(job.compute.place(generator), job.compute.place(discriminator))


def beginning(job: Job, options: SupernetOptions, generator: Trellis, discriminator: SuperDiscriminator) -> Wide:
    """Return the networks that fine-tuning begins with: trained ones, as far as the recipe lets it inherit them."""
    schedule, fresh = job.recipe.finetune, networks(job, options)
    return Wide(
        generator if schedule.inherit else fresh.generator,
        discriminator if schedule.inherit and schedule.discriminator != "fresh" else fresh.discriminator,
    )


def generator_groups(generator: Trellis, options: SupernetOptions) -> list[dict[str, Any]]:
    """Return the groups of weights and of scale factors, which have different rates (Algorithm 3, lines 12 and 13)."""
    scales = generator.scale_factors()
    gammas = {id(scale) for scale in scales}
    weights = [weight for weight in generator.parameters() if id(weight) not in gammas]
    own: dict[str, Any] = {"params": scales, "lr": options.gamma_rate or options.rate}
    if options.gamma_momentum is not None:
        own["momentum"] = options.gamma_momentum
    return [{"params": weights}, own]


def sparsity_groups(generator: Trellis, space: Space) -> dict[str, list[tuple[list[nn.Parameter], float]]]:
    """Return each path's groups of parameters that write its channels, each with the share of paths that use it.

    All parameters that write one channel form a group: the channel can be removed only when none of them writes it.
    """
    on = Counter[int]()
    found: dict[str, list[list[nn.Parameter]]] = {}
    for path in options_of(space, "path"):
        every = Gates.uniform(space, widest(space).replace({"path": path}), "operator.")
        groups = [
            [weight for writer in writers for weight in written(writer)]
            for writers in generator.writers(every).values()
        ]
        found[str(path)] = groups
        on.update(id(group[0]) for group in groups)
    return {path: [(group, on[id(group[0])] / len(found)) for group in groups] for path, groups in found.items()}


def judging(options: SupernetOptions, path: Value) -> str:
    """Return the discriminator's path for generators of a path: the same, or the last one for all."""
    return str(path) if options.matching == "path" else str(options_of(options.shape.space, "path")[-1])


def judged(discriminator: SuperDiscriminator, options: SupernetOptions, path: Value | None = None) -> Discriminate:
    """Return the discriminator along the path that matches a generator's `path`, or each architecture's if None."""
    shape = options.shape
    return lambda images, arch: discriminator(
        images, shape.parse(judging(options, pinned(arch)["path"] if path is None else path))
    )


def drawn_effort(job: Job, generator: Trellis, draw: Draw, updates: int, batch: int) -> Effort:
    """Return the effort of a training of the super-generator."""
    size = job.recipe.size
    return Effort.drawn(draw, lambda arch: generator.cost(pinned(arch), *size).exact, updates, batch)


def plan_of(options: SupernetOptions, genotype: Genotype) -> dict[str, Any]:
    """Return the options of a genotype's generator."""
    return {"genotype": genotype.to_json(), **asdict(options.shape)}


def enter(job: Job, options: SupernetOptions, genotype: Genotype, seed: int) -> Entrant:
    """Return a genotype as a rival to be trained from scratch."""
    plan = {"family": options.shape.family, **plan_of(options, genotype)}
    net = job.compute.place(build_generator(seed=seed, **plan))
    return Entrant(plan, net, oppose(job, options, genotype, net))


def oppose(job: Job, options: SupernetOptions, genotype: Genotype, net: nn.Module) -> Opponent:
    """Return the opponent of a genotype's generators: a new super-discriminator along the genotype's path."""
    _, discriminator = networks(job, options)
    how = {"discriminate": judged(discriminator, options, genotype["path"]), "guidance": original_guidance(job)}
    return Opponent(discriminator, how)


def inheriting(job: Job, discriminator: SuperDiscriminator, until: int) -> Tuning:
    """Return the first `until` updates of fine-tuning, each candidate against a copy of the inherited discriminator."""
    schedule, options = job.recipe.finetune, training_of(job.recipe)

    def against(genotype: Genotype, net: nn.Module) -> Opponent:
        own = deepcopy(discriminator)
        how = {"discriminate": judged(own, options, genotype["path"]), "guidance": original_guidance(job)}
        return Opponent(own, how)

    steps = schedule.steps(len(job.data.split("train")))
    return Tuning(job, "finalists", schedule, steps, against, until, kept=True, whole=True)


def widest(space: Space) -> Genotype:
    """Return the largest option of every dimension, including those that are inactive on the largest path."""
    return Genotype({name: dimension.largest for name, dimension in space.items()})
