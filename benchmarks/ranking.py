"""How well a search ranks networks compared with training each alone: Kendall's tau of each way of scoring.

    slimgen run benchmarks/townhouses-32.yaml --until prepare --out runs/drawn   # draws runs/townhouses-paired-32
    python -m benchmarks.ranking benchmarks/townhouses-32.yaml --data runs/townhouses-paired-32 --set budget.macs=1/16
    python -m benchmarks.ranking benchmarks/townhouses-32-gan_compression.yaml --networks 16

Networks of a method's space that cost nearly what the budget allows, chosen among random ones to be far apart, are
trained alone from scratch with two seeds. The mean of both is the truth; the tau of one seed with the other is about
the highest that can be reached. For CF-GAN most networks are on the path that its search finds, and some on every other
path; the tau within the path shows how good its operator and channel steps are. Every way of scoring ranks the same
networks: in supernets, without and with tuning, and by costs, which need no training. Scores use the validation images.

Existing results are not computed again. `--only-alone K/N` trains a part of the networks, so that several processes can
divide them.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, NamedTuple

from scipy.stats import kendalltau

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.data.prepared import Prepared
from slimgen.device import choose
from slimgen.files import GENERATOR, GENOTYPE
from slimgen.methods import cf_gan, gan_compression
from slimgen.methods.candidates import Candidates
from slimgen.methods.cf_gan.options import SupernetOptions, options_of, space_of
from slimgen.methods.cf_gan.training import enter
from slimgen.methods.checks import priced
from slimgen.methods.drawn import drawn_within
from slimgen.methods.rivals import Entrant, finetuned
from slimgen.methods.trials import PLAIN
from slimgen.methods.tuning import Tuning
from slimgen.nets.cf_gan.space import channels_of, layers
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.supernet import Supernet
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe, section
from slimgen.search import Choice, Genotype, Space
from slimgen.tasks import open_task
from slimgen.tasks.cycle import Gan
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal

TUNED = (0, 20, 50)
_POOL = 120
_TIMED = 5


class Setting(NamedTuple):
    """A supernet to score with: its changes to the recipe, and the stage that holds its weights."""

    changes: tuple[str, ...]
    stage: str


SETTINGS: dict[str, dict[str, Setting]] = {
    "cf_gan": {
        "fair": Setting((), "supernet"),
        "fair, path trained": Setting((), "search"),
        "widths drawn": Setting(("supernet.widths=drawn",), "supernet"),
        "uniform": Setting(("supernet.sampling=uniform",), "supernet"),
    },
    "gan_compression": {"once-for-all": Setting((), "supernet")},
}


class Truth(NamedTuple):
    """The networks, the path that the search would choose (empty without paths), and their qualities alone."""

    genotypes: list[Genotype]
    path: str
    alone: list[list[float]]

    @property
    def means(self) -> list[float]:
        """The mean quality over the seeds."""
        return [mean(values) for values in self.alone]

    def within(self, genotype: Genotype) -> bool:
        """Return whether a genotype is on the path."""
        return not self.path or genotype["path"] == self.path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs/ranking"))
    parser.add_argument("--networks", type=int, default=16, help="networks of the found path, or of the whole space")
    parser.add_argument("--others", type=int, default=9, help="networks of all other paths together")
    parser.add_argument("--updates", type=int, default=1300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="seeds of training alone")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--only-alone", metavar="K/N", help="train the K-th of N parts of the networks, and stop")
    arguments = parser.parse_args()
    chosen = recipe.load(arguments.recipe).override(arguments.settings)
    first, *_ = SETTINGS[chosen.method].values()
    job, net = trained(chosen, first, arguments)
    path = str(json.loads((job.inputs["search"] / GENOTYPE).read_text())["genotype"].get("path", ""))
    genotypes = networks(job, net, path, arguments)
    part, parts = map(int, (arguments.only_alone or "0/1").split("/"))
    alone = [
        [quality_alone(job, genotype, seed, arguments.updates) for seed in arguments.seeds]
        for genotype in genotypes[part::parts]
    ]
    if arguments.only_alone:
        return
    truth = Truth(genotypes, path, alone)
    rows: dict[str, Any] = {}
    for name, setting in SETTINGS[chosen.method].items():
        job, net = trained(chosen, setting, arguments)
        for updates in TUNED:
            scores, seconds = scored(job, net, truth, setting, updates)
            label = f"{name}, {updates} updates" if updates else name
            rows[label] = {**judged(scores, truth), "seconds": seconds}
            print(line(label, rows[label]), flush=True)
    for name, free in rivals(job, net, arguments.updates).items():
        rows[name] = judged([free(genotype) for genotype in genotypes], truth)
        print(line(name, rows[name]), flush=True)
    seeds = list(zip(*alone, strict=True))
    if len(seeds) > 1:
        rows["another seed alone"] = judged(list(seeds[1]), truth._replace(alone=[[one] for one in seeds[0]]))
        print(line("another seed alone", rows["another seed alone"]))
    spread = {"all": stdev(truth.means), "within": stdev(inside(truth.means, truth))}
    spread["of a seed"] = mean(stdev(values) for values in alone) if len(seeds) > 1 else 0.0
    print({name: round(value, 2) for name, value in spread.items()})
    about = {"recipe": chosen.name, "updates": arguments.updates, "path": path, "spread": spread, "alone": alone}
    save(f"ranking-{chosen.name}", {**about, "genotypes": [one.to_json() for one in genotypes], "scores": rows})


def trained(chosen: Recipe, setting: Setting, arguments: argparse.Namespace) -> tuple[Job, Supernet]:
    """Run a setting's stages; return their job and supernet."""
    chosen = chosen.override(list(setting.changes))
    home = arguments.out / "-".join([chosen.name, *setting.changes]).replace("=", "-")
    stages.run(chosen, data=arguments.data, out=home, until="search")
    compute = choose(chosen.compute.precision, chosen.compute.device, chosen.compute.threads)
    job = Job(
        recipe=chosen,
        compute=compute,
        task=open_task(chosen, compute),
        data=Prepared.open(home / "prepare"),
        inputs={name: home / name for name in ("teach", "supernet", "search")},
        out=home / "ranking",
        journal=lambda name: Journal(),
        tell=lambda what, done, total, values: None,
    )
    job.out.mkdir(exist_ok=True)
    if chosen.method == "cf_gan":
        options = section(SupernetOptions, chosen.supernet, "supernet")
        return job, cf_gan.networks(job, options, job.inputs[setting.stage])[0].eval()
    net = gan_compression.once_for_all(job, section(gan_compression.SupernetOptions, chosen.supernet, "supernet"))
    net.load_state_dict(load_weights(job.inputs["supernet"] / GENERATOR))
    return job, net.eval()


def networks(job: Job, net: Supernet, path: str, arguments: argparse.Namespace) -> list[Genotype]:
    """Return genotypes that cost nearly what the budget allows: of the found path, then of each other path."""

    def some(space: Space, count: int) -> list[Genotype]:
        def costs(genotype: Genotype) -> Mapping[str, float]:
            return priced(net.cost(genotype, *job.recipe.size), job.recipe)

        return list(islice(spread_out(space, drawn_within(space, costs, job.budget, _POOL, "ranking")), count))

    space = net.space
    if not path:
        return some(space, arguments.networks)
    space = space_of(job.recipe, space)
    others = [one for one in options_of(space, "path") if one != path]
    found = some(space.narrow({"path": [path]}), arguments.networks)
    return found + [
        one for other in others for one in some(space.narrow({"path": [other]}), arguments.others // len(others))
    ]


def spread_out(space: Space, drawn: Sequence[Genotype]) -> Iterator[Genotype]:
    """Yield the drawn genotypes, starting with the first; each next one is the farthest from all before it."""

    def place(genotype: Genotype) -> list[float]:
        found = []
        for name, dimension in space.items():
            value = genotype.get(name)
            options = dimension.options if isinstance(dimension, Choice) else ()
            if options and isinstance(options[0], str):
                found += [float(value == option) for option in options]
            else:
                found.append(float(value or 0) / float(dimension.largest))
        return found

    def apart(one: Sequence[float], other: Sequence[float]) -> float:
        return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))

    places = {genotype: place(genotype) for genotype in drawn}
    nearest = dict.fromkeys(places, float("inf"))
    chosen = drawn[0]
    while nearest:
        yield chosen
        own = places[chosen]
        del nearest[chosen]
        nearest = {genotype: min(far, apart(places[genotype], own)) for genotype, far in nearest.items()}
        chosen = max(nearest, key=lambda genotype: nearest[genotype], default=chosen)


def enters(job: Job) -> Callable[[Genotype, int], Entrant]:
    """Return a function of genotype and seed that builds a network with its discriminator, like the method's rivals."""
    if job.recipe.method == "cf_gan":
        return partial(enter, job, section(SupernetOptions, job.recipe.supernet, "supernet"))
    return partial(
        gan_compression.enter, job, section(gan_compression.SupernetOptions, job.recipe.supernet, "supernet")
    )


def quality_alone(job: Job, genotype: Genotype, seed: int, updates: int) -> float:
    """Return the quality of a network trained alone from scratch; results are cached line by line."""
    file, metric = job.out / "alone.jsonl", job.recipe.objective.metric
    about = {"key": genotype.key, "seed": seed, "updates": updates}
    known = [json.loads(text) for text in file.read_text().splitlines()] if file.is_file() else []
    for one in known:
        if {name: one[name] for name in about} == about:
            return float(one["quality"])
    changed = replace(job, recipe=job.recipe.override([f"seed={seed}"]))
    _, net, (discriminator, how) = enters(changed)(genotype, seed)
    schedule = job.recipe.finetune.model_copy(update={"updates": updates, "epochs": None})
    done = finetuned(changed, "alone", Gan(net, discriminator), updates, schedule, **how)
    quality = Candidates(job, blank(job)).evaluator.measure(partial(run_on, job, done))[metric]
    with file.open("a") as lines:
        lines.write(json.dumps({**about, "quality": quality}) + "\n")
    return quality


def run_on(job: Job, net: Any, images: Any) -> Any:
    """Run a finished network on inputs."""
    return net(job.task.condition(images))


def blank(job: Job) -> Supernet:
    """Return an untrained supernet, where only its space is needed."""
    options = job.recipe.supernet
    if job.recipe.method == "cf_gan":
        return Trellis(section(SupernetOptions, options, "supernet").shape)
    return gan_compression.once_for_all(job, section(gan_compression.SupernetOptions, options, "supernet"))


def scored(job: Job, net: Supernet, truth: Truth, setting: Setting, updates: int) -> tuple[list[float], float]:
    """Return each network's score in a supernet, after tuning for `updates`, and the seconds per network.

    A supernet with one path cannot score networks of other paths; they get the previous supernet's scores, as in the
    search.
    """
    schedule = job.recipe.finetune.model_copy(update={"updates": updates, "epochs": None, "decay": 1.0})
    tuning = Tuning(job, "tune", schedule, updates) if updates else None
    candidates, before = Candidates(job, net, tuning=tuning), None
    if setting.stage == "search":
        options = section(SupernetOptions, job.recipe.supernet, "supernet")
        wide, _ = cf_gan.networks(job, options, job.inputs["supernet"])
        before = Candidates(job, wide.eval(), tuning=tuning)
    metric, scores = job.recipe.objective.metric, []
    for genotype in truth.genotypes:
        judge = candidates if before is None or truth.within(genotype) else before
        (trial,) = judge.trials([genotype])
        scores.append(trial.quality[metric])
    # Timed separately, since earlier measurements come from the cache.
    seconds = [candidates.measure(genotype, PLAIN).seconds for genotype in truth.genotypes[:_TIMED]]
    return scores, median(seconds)


def rivals(job: Job, net: Supernet, updates: int) -> dict[str, Callable[[Genotype], float]]:
    """Return scores that need no supernet: costs, and the quality after a hundred updates alone."""
    size = job.recipe.size
    found: dict[str, Callable[[Genotype], float]] = {
        "MACs": lambda genotype: net.cost(genotype, *size).exact,
        "parameters": lambda genotype: net.cost(genotype, *size).params,
    }
    if isinstance(net, Trellis):
        shape = net.shape

        def full_resolution(genotype: Genotype) -> float:
            channels = channels_of(shape, genotype)
            rows = [
                row
                for layer in layers(str(genotype["path"]), shape.blocks)
                for row in layer.rows(shape, layer.kind_in(genotype), channels)
                if row.part == 1
            ]
            return float(sum(row.inputs * row.outputs * row.kernel**2 for row in rows if row.kind != "depthwise"))

        found["MACs at full resolution"] = full_resolution
    return {**found, "100 updates alone": lambda genotype: quality_alone(job, genotype, 2, 100)}


def inside(values: Sequence[float], truth: Truth) -> list[float]:
    """Return the values of the networks on the path."""
    return [value for value, one in zip(values, truth.genotypes, strict=True) if truth.within(one)]


def judged(scores: Sequence[float], truth: Truth) -> dict[str, Any]:
    """Return Kendall's tau over all networks and within the path, and the qualities of the picked and the best one."""
    found: dict[str, Any] = {"scores": list(scores)}
    for name, given, true in (
        ("all", scores, truth.means),
        ("within", inside(scores, truth), inside(truth.means, truth)),
    ):
        tau = kendalltau(given, true)
        picked = max(zip(given, true, strict=True))[1]
        found[name] = {"tau": float(tau.statistic), "p": float(tau.pvalue), "picked": picked, "best": max(true)}
    return found


def line(name: str, row: Mapping[str, Any]) -> str:
    """Return a row of the Markdown table."""
    cells = []
    for part in ("all", "within"):
        one = row[part]
        cells += [f"{one['tau']:+.2f} (p {one['p']:.2g})", f"{one['picked']:.2f} of {one['best']:.2f}"]
    return f"| {name} | {' | '.join(cells)} | {row.get('seconds', 0):.2f} |"


if __name__ == "__main__":
    main()
