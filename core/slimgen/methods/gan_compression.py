"""GAN Compression: distil a once-for-all network, search its channel numbers, fine-tune (Li et al., CVPR 2020).

`supernet` is steps 1 of Figure 3 (both pipelines of 6.1), `search` its step 2 and 3, `finetune` what follows.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from slimgen.data.batches import Pair
from slimgen.export.latency.table import LatencyTable
from slimgen.methods.candidates import Candidates
from slimgen.methods.comparison import train_uniform
from slimgen.methods.gan_compression_options import (
    SearchOptions,
    SupernetOptions,
    band,
    check,
    require_few,
    shape_of,
    teacher_options,
    trunk_of,
    widest_trunk,
)
from slimgen.methods.method import Found, Trained
from slimgen.nets import build_generator
from slimgen.nets.channels import to_config, write_config
from slimgen.nets.gates import Arch
from slimgen.nets.initial import initialise
from slimgen.nets.once_for_all import OnceForAll
from slimgen.nets.pruning import prune_into
from slimgen.nets.resnet import ResnetGenerator, taps
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import section
from slimgen.search import Budget, Evolution, Exhaustive, Genotype, RandomSearch, Searcher, Space, Trial
from slimgen.search.grid import Grid
from slimgen.tasks.gan import original_guidance, train_gan
from slimgen.tasks.guidance import Generate, Guidance
from slimgen.tasks.job import Job
from slimgen.training.distillation import Adaptors, Teacher, distillation_loss
from slimgen.training.distributed import first, world
from slimgen.training.draws import fixed, uniform
from slimgen.training.fit import Memo

__all__ = ["check", "finetune", "search", "supernet"]


def supernet(job: Job) -> Mapping[str, float]:
    """Trains the once-for-all network, in the full pipeline out of a distilled student of a mobile teacher.

    Returns:
        Generator updates, those of the mobile teacher apart.
    """
    options = section(SupernetOptions, job.recipe.supernet, "supernet")
    images = len(job.data.split("train"))
    net, facts = once_for_all(job, options), {}
    discriminator = job.task.discriminator()
    if options.pipeline == "full":
        facts["teacher_updates"] = float(train_teacher(job, options, discriminator))
    teacher = teacher_network(job, options)
    if options.prune and teacher_options(job.recipe, options)["family"] == options.family:
        assert isinstance(teacher, ResnetGenerator)
        prune_into(net.model, teacher)
    if options.keep_discriminator:
        discriminator.load_state_dict(load_weights(teacher_folder(job, options, "discriminator")))
    else:
        discriminator = job.task.discriminator()
    guidance, updates = distilling(job, options, teacher), 0
    if options.student is not None:
        updates = options.student.steps(images)
        student = options.student
        largest = fixed(net.space.largest())
        asked = showing(net)
        train_gan(job, "student", net, discriminator, student, updates, generate=asked, guidance=guidance, draw=largest)
    steps = options.steps(images)
    draw = uniform(net.space, job.recipe.seed)
    train_gan(job, "supernet", net, discriminator, options, steps, generate=showing(net), guidance=guidance, draw=draw)
    save_weights(job.out / "generator.safetensors", net.state_dict())
    save_weights(job.out / "discriminator.safetensors", discriminator.state_dict())
    for name, module in guidance.modules.items():
        save_weights(job.out / f"{name}.safetensors", module.state_dict())
    return {"updates": updates + steps, **facts}


def search(job: Job) -> Found:
    """Measures sub-networks as they are inside the once-for-all network: all in the band, or by evolution."""
    options = section(SearchOptions, job.recipe.search, "search")
    training = section(SupernetOptions, job.recipe.supernet, "supernet")
    net = once_for_all(job, training)
    net.load_state_dict(load_weights(job.inputs["supernet"] / "generator.safetensors"))
    net.eval()
    # The first process measures for all: several at once would measure each other.
    table = latency_table(job, options, net) if world()[0] == 0 else None
    candidates = Candidates(job, net, latency=None if table is None else cautious(table))
    candidates.require_reachable(net.space)
    facts = {"space_size": float(net.space.size)}
    if table is not None:
        facts |= {f"latency_error_{name}": value for name, value in table.error.items()}
    searcher, evaluations = searching(job, options, training, net.space, candidates, facts)
    trials = candidates.explore("channel", searcher, evaluations, racing=options.racing)
    if job.recipe.budget.latency_ms is None:
        return candidates.found(trials, facts)
    # What was foretold may be wrong by more than the table's check has seen: the winner is measured.
    limit = job.recipe.budget.latency_ms

    def keeps_limit(trial: Trial) -> bool:
        facts["latency_measured_ms"] = first(lambda: measured(table, trial.genotype))
        return facts["latency_measured_ms"] <= limit

    return candidates.found(trials, facts, accepts=keeps_limit)


def cautious(table: LatencyTable) -> Callable[[Genotype], float]:
    """What the table foretells, and as much more as it was ever too low when it was checked."""
    margin = 1 + table.error["max"]
    return lambda genotype: margin * table.predict(genotype)


def measured(table: LatencyTable | None, genotype: Genotype) -> float:
    """The milliseconds of one sub-network, run in onnxruntime; asked of the first process, which has the table."""
    assert table is not None
    return table.measured([genotype])[0]


def searching(
    job: Job,
    options: SearchOptions,
    training: SupernetOptions,
    space: Space,
    candidates: Candidates,
    facts: dict[str, float],
) -> tuple[Searcher, int]:
    """The recipe's searcher, and how many evaluations it may ask for."""
    objective, allows, population = candidates.objective, candidates.allows, options.population
    if options.kind == "exhaustive":
        grid, limits = Grid(space), {k: v for k, v in candidates.limits.items() if k != "latency_ms"}
        places = band(job.recipe, training, options, space, Budget(**limits))
        facts["band"] = float(len(places))
        require_few(options, places)
        inside = (grid.at(int(place)) for place in places)
        return Exhaustive(space, objective, allows, population, genotypes=inside), len(places)
    anchor = candidates.anchor(space, allows)
    evaluations = options.rounds * population
    if options.kind == "random":
        return RandomSearch(space, objective, allows, population, anchor), evaluations
    rate, crossover = options.mutation, options.crossover
    return Evolution(space, objective, allows, population, options.elite, rate, crossover, anchor=anchor), evaluations


def finetune(job: Job) -> Mapping[str, Trained]:
    """The found generator on inherited weights, under the same teacher; with `updates: 0`, as it was found."""
    recipe, schedule = job.recipe, job.recipe.finetune
    options = section(SupernetOptions, recipe.supernet, "supernet")
    genotype = Genotype.from_json(json.loads((job.inputs["search"] / "genotype.json").read_text())["genotype"])
    net, discriminator = once_for_all(job, options), job.task.discriminator()
    before = job.inputs["supernet"]
    about = {**net.options, "config": write_config(to_config(genotype))}
    if schedule.inherit:
        net.load_state_dict(load_weights(before / "generator.safetensors"))
        discriminator.load_state_dict(load_weights(before / "discriminator.safetensors"))
        found: nn.Module = job.compute.place(net.extract(genotype)).eval()
    else:
        found = job.compute.place(build_generator(options.family, seed=recipe.seed, **about))
        if options.keep_discriminator:
            discriminator.load_state_dict(load_weights(teacher_folder(job, options, "discriminator")))
    steps = schedule.steps(len(job.data.split("train")))
    if steps:
        guidance = distilling(job, options, teacher_network(job, options))
        for name, module in guidance.modules.items() if schedule.inherit else ():
            module.load_state_dict(load_weights(before / f"{name}.safetensors"))
        found = train_gan(
            job,
            "found",
            found,
            discriminator,
            schedule,
            steps,
            generate=showing(found),
            guidance=guidance,
            generator_steps=schedule.generator_steps,
            ema=schedule.ema,
        )
    trained = {"found": Trained(found, options.family, about, steps)}
    if schedule.uniform:
        cost = net.cost(genotype, recipe.size, recipe.size).macs(recipe.budget.convention)
        updates = json.loads((before / "stage.json").read_text())["metrics"]["updates"]
        trained["uniform"] = train_uniform(job, cost, int(updates) + steps)
    return trained


def once_for_all(job: Job, options: SupernetOptions) -> OnceForAll:
    """The once-for-all network, initialised from the recipe's seed."""
    net = OnceForAll(options.family, options.space, **shape_of(job.recipe))
    return job.compute.place(initialise(net, job.recipe.seed + 2))


def train_teacher(job: Job, options: SupernetOptions, discriminator: nn.Module) -> int:
    """Trains the mobile teacher from scratch (6.1); the updates that it took."""
    assert options.teacher is not None
    steps = options.teacher.steps(len(job.data.split("train")))
    teacher = job.compute.place(build_generator(seed=job.recipe.seed + 3, **teacher_options(job.recipe, options)))
    job.task.train_original(job, "teacher", teacher, discriminator, options.teacher, steps)
    save_weights(job.out / "teacher_generator.safetensors", teacher.state_dict())
    save_weights(job.out / "teacher_discriminator.safetensors", discriminator.state_dict())
    return steps


def teacher_folder(job: Job, options: SupernetOptions, name: str) -> Any:
    """The file of the teacher's `generator` or `discriminator`."""
    if options.pipeline == "fast":
        return job.inputs["teach"] / f"{name}.safetensors"
    return job.inputs.get("supernet", job.out) / f"teacher_{name}.safetensors"


def teacher_network(job: Job, options: SupernetOptions) -> nn.Module:
    """The generator that teaches, with its weights."""
    teacher = build_generator(seed=0, **teacher_options(job.recipe, options))
    teacher.load_state_dict(load_weights(teacher_folder(job, options, "generator")))
    return teacher


def showing(net: nn.Module) -> Generate:
    """A generator or supernet that leaves the features of its image in the notes of its step."""

    def run(images: Tensor, arch: Arch, memo: Memo) -> Tensor:
        shown = net.features(images, arch) if isinstance(net, OnceForAll) else net.features(images)  # type: ignore[operator]
        image: Tensor
        image, memo["features"] = shown
        return image

    return run


def distilling(job: Job, options: SupernetOptions, net: nn.Module) -> Guidance:
    """The terms that a teacher adds (Eqs. 1, 3 and 4), beside the task's own."""
    teacher, weight = Teacher(job.compute.ready(net)), options.distill
    guidance = original_guidance(job)
    if options.pseudo_pairs(job.recipe.task):
        guidance = guidance.plus(Guidance(truth=lambda batch: teacher(batch.input)[0].float()))
    if options.distillation == "none" or not weight:
        return guidance
    if options.distillation == "output":

        def imitate(batch: Pair, fake: Tensor, memo: Memo) -> dict[str, Tensor]:
            return {"distill": weight * functional.mse_loss(fake, teacher(batch.input)[0].float())}

        return guidance.plus(Guidance((imitate,)))
    layers = len(taps(shape_of(job.recipe).get("blocks", 9)))
    students = [widest_trunk(options)] * layers
    teachers = [trunk_of(teacher_options(job.recipe, options))] * layers
    adaptors = job.compute.place(initialise(Adaptors(students, teachers), job.recipe.seed + 4))

    def match(batch: Pair, fake: Tensor, memo: Memo) -> dict[str, Tensor]:
        return {"distill": weight * distillation_loss(adaptors(memo.pop("features")), teacher(batch.input)[1])}

    return guidance.plus(Guidance((match,), modules={"adaptors": adaptors}))


def latency_table(job: Job, options: SearchOptions, net: OnceForAll) -> LatencyTable | None:
    """The table that predicts milliseconds, where the budget limits them."""
    recipe = job.recipe
    if recipe.budget.latency_ms is None:
        return None
    return LatencyTable.measure(
        net,
        net.space.sample,
        recipe.size,
        recipe.size,
        threads=recipe.evaluate.threads,
        path=job.out / "latency.json",
        fit=options.latency_networks,
        check=options.latency_networks // 2,
        seed=recipe.seed,
        keep=True,
        progress=lambda done, total: job.tell("latency", done, total, {}),
    )
