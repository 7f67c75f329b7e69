"""The gain of each part of GAN Compression's pipeline: one network, trained with and without it, with equal effort.

    python -m benchmarks.parts [--recipe benchmarks/townhouses-32-gan_compression.yaml] [--seeds 0 1 2]

The pipeline finds a network. That network is then trained once for every combination of three factors: the
discriminator that its training starts with (the original's, the supernet's, a fresh one), distillation (throughout,
including the supernet, or not at all) and the supernet's weights (inherited or not). With inherited weights it is
trained for the updates in the recipe's section `finetune`; without, for the supernet's updates in addition, so that all
combinations have the same updates and pictures in total. The recipe's pipeline is one of the combinations, and so is
the network from scratch: a fresh discriminator, no distillation, nothing inherited.

An effect is the gain of one level of a factor over another, averaged over all combinations of the other factors, seed
by seed. A gain counts only at p < 0.05 in a paired t test over the seeds. `--first 6` trains only the pipeline, the
network from scratch, and the combinations that differ from the pipeline in one part; effects are then relative to the
pipeline alone. Runs can be resumed. Figures go to benchmarks/results/.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.data.prepared import Prepared
from slimgen.device import choose
from slimgen.methods.effort import Effort
from slimgen.methods.gan_compression import SupernetOptions
from slimgen.metrics.evaluator import Evaluator
from slimgen.nets import generator_cost
from slimgen.recipe import Recipe, section
from slimgen.report.paired import FOUND, Difference, differences
from slimgen.report.table import ORIGINAL, Table, TableRow
from slimgen.stages.generators import built, described
from slimgen.tasks import open_task

RECIPE = "benchmarks/townhouses-32-gan_compression.yaml"


class Parts(NamedTuple):
    """A combination of the factors' levels."""

    discriminator: str
    distilled: bool
    inherited: bool

    @property
    def name(self) -> str:
        """The name of its row and folder."""
        words = ("distilled" if self.distilled else "undistilled", "inherited" if self.inherited else "anew")
        return " ".join((self.discriminator, *words))

    @property
    def apart(self) -> int:
        """The number of factors in which it differs from the pipeline."""
        return sum(one != two for one, two in zip(self, PIPELINE, strict=True))


FACTORS = {"discriminator": ("teacher", "supernet", "fresh"), "distilled": (True, False), "inherited": (True, False)}
PIPELINE, ALONE = Parts("supernet", True, True), Parts("fresh", False, False)
COMBINATIONS = sorted(
    (Parts(*levels) for levels in product(*FACTORS.values())),
    key=lambda one: (one not in (PIPELINE, ALONE), one.apart, one.discriminator == "teacher", not one.inherited),
)
"""The most relevant first: the pipeline, the network from scratch, then those that differ in one part."""
EFFECTS = (
    ("discriminator", "supernet", "fresh"),
    ("discriminator", "teacher", "fresh"),
    ("discriminator", "supernet", "teacher"),
    ("distilled", True, False),
    ("inherited", True, False),
)
"""The effects: a factor, and the level whose gain over the other level is reported."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--data", type=Path, help="the images; the recipe's embedded ones by default")
    parser.add_argument("--out", type=Path, default=Path("runs/parts"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--first", type=int, default=len(COMBINATIONS), help="how many combinations; at least two")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    base = recipe.load(arguments.recipe).override(arguments.settings)
    runs = {seed: (base.override([f"seed={seed}"]), arguments.out / f"{base.name}-{seed}") for seed in arguments.seeds}
    for chosen, home in runs.values():
        stages.run(chosen, data=arguments.data, out=home, until="search")
    combinations = COMBINATIONS[: max(2, arguments.first)]
    for parts in combinations:
        for chosen, home in runs.values():
            trained(chosen, home, parts)
    found = collected([measured(chosen, home, combinations) for chosen, home in runs.values()])
    save(f"parts-{base.name}", {"recipe": base.name, "settings": arguments.settings, **found})
    print("\n".join(lines(base.name, found)))


def changed(base: Recipe, parts: Parts) -> Recipe:
    """Return the recipe with these parts; without inherited weights, the supernet's updates are added."""
    settings = [f"finetune.discriminator={parts.discriminator}", f"finetune.inherit={str(parts.inherited).lower()}"]
    if not parts.distilled:
        settings.append("supernet.distillation=none")
        base = base.model_copy(update={"supernet": {k: v for k, v in base.supernet.items() if k != "distill"}})
    if not parts.inherited:
        supernet = section(SupernetOptions, base.supernet, "supernet")
        settings.append(f"finetune.updates={(supernet.updates or 0) + (base.finetune.updates or 0)}")
    return base.override(settings)


def trained(base: Recipe, home: Path, parts: Parts) -> Path:
    """Train the found network with these parts, unless that is done, and return the training's folder."""
    chosen = changed(base, parts)
    folders = {"prepare": home / "prepare", "teach": home / "teach"}
    supernet, out = home / ("supernet" if parts.distilled else "supernet undistilled"), home / parts.name
    stages.supernet(chosen, **folders, out=supernet)
    stages.finetune(chosen, **folders, supernet=supernet, search=home / "search", out=out)
    return out


def measured(base: Recipe, home: Path, combinations: Sequence[Parts]) -> Table:
    """Measure the original and all combinations on one seed's test images; the pipeline's row is called found."""
    compute = choose(base.compute.precision, base.compute.device, base.compute.threads)
    task = open_task(base, compute)
    evaluate, images = base.evaluate, task.test(Prepared.open(home / "prepare"))
    evaluator = Evaluator(images, evaluate.metrics, compute=compute, features=evaluate.features)
    rows = []
    folders = {FOUND if parts == PIPELINE else parts.name: (home / parts.name, parts) for parts in combinations}
    for name, (folder, parts) in {ORIGINAL: (home / PIPELINE.name, PIPELINE), **folders}.items():
        about = described(base, folder, home / "teach")[ORIGINAL if name == ORIGINAL else FOUND]
        cost = generator_cost(about["family"], *base.size, **about["options"])
        effort = about["effort"]
        if name != ORIGINAL and not parts.inherited:  # the supernet's training is not part of its effort
            effort = Effort.of(about["updates"], base.finetune.batch, cost.exact).facts()
        net = compute.place(built(about, (home / "teach" if name == ORIGINAL else folder) / about["file"]))
        quality, macs = evaluator.measure(net), {base.budget.convention: int(cost.macs(base.budget.convention))}
        row = TableRow(name, quality, macs, int(cost.params), int(cost.bytes), goals=evaluator.goals, **effort)
        rows.append(row)
    return Table(tuple(rows), base.budget.convention, base.size, recipe=base.name, seed=base.seed)


def collected(tables: Sequence[Table]) -> dict[str, Any]:
    """Return the rows of every seed, the pipeline's gains over the other combinations, and each part's gain."""
    gains = [one for one in differences(tables) if one.rival != ORIGINAL]
    return {
        "rows": [[asdict(row) for row in table.rows] for table in tables],
        "differences": [one.facts for one in gains],
        "effects": [one.facts for one in effects(tables)],
    }


def effects(tables: Sequence[Table]) -> Iterator[Difference]:
    """Yield each factor's gain of one level over another, seed by seed, averaged over the other factors."""
    for metric, goal in tables[0].rows[0].goals.items():
        sign = 1 if goal == "max" else -1
        for factor, level, other in EFFECTS:
            pairs = [pairs_at(table, metric, factor, level, other) for table in tables]
            if all(pairs):
                gains = [fmean(sign * (one - two) for one, two in of_seed) for of_seed in pairs]
                yield Difference.of(words(factor, level, other), metric, gains)


def pairs_at(table: Table, metric: str, factor: str, level: object, other: object) -> list[tuple[float, float]]:
    """Return a metric at two levels of a factor, for all combinations that differ in nothing else."""
    named = {row.name: row.metrics[metric] for row in table.rows}
    quality = {parts: named.get(FOUND if parts == PIPELINE else parts.name) for parts in COMBINATIONS}
    at_level = ((parts, value) for parts, value in quality.items() if getattr(parts, factor) == level)
    pairs = ((value, quality[parts._replace(**{factor: other})]) for parts, value in at_level)
    return [(one, two) for one, two in pairs if one is not None and two is not None]


def words(factor: str, level: object, other: object) -> str:
    """Return the name of an effect."""
    return factor if isinstance(level, bool) else f"{factor} {level}, not {other}"


def lines(name: str, found: Mapping[str, Any]) -> list[str]:
    """Return Markdown lines: every combination with its gain over the network from scratch, then each part's gain."""
    runs = found["rows"]
    metrics = list(runs[0][0]["metrics"])
    text = [f"\n**{name}, {len(runs)} seeds**\n"]
    heads = ["discriminator", "distilled", "inherited", *metrics, f"{metrics[0]}: pipeline is better by (p)"]
    heads += ["updates", "training TMACs"]
    text += [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    than = {one["rival"]: one for one in found["differences"] if one["metric"] == metrics[0]}
    rows = {row["name"]: [next(one for one in run if one["name"] == row["name"]) for run in runs] for row in runs[0]}
    for name, each in rows.items():
        shown = [*name.split(" "), "", ""][:3] if name != FOUND else PIPELINE.name.split(" ")
        quality = [spread([row["metrics"][metric] for row in each]) for metric in metrics]
        gain = "the pipeline" if name == FOUND else figure(than[name]) if name in than else ""
        effort = [f"{fmean(row['updates'] for row in each):.0f}"]
        effort.append(f"{fmean(row['training_macs'] for row in each) / 1e12:.3f}")
        text.append(f"| {' | '.join([*shown, *quality, gain, *effort])} |")
    text += [f"\n| part | {' | '.join(f'{metric}: gain (p)' for metric in metrics)} |"]
    text.append("| --- " * (1 + len(metrics)) + "|")
    by_part: dict[str, list[str]] = {}
    for one in found["effects"]:
        by_part.setdefault(one["rival"], []).append(figure(one))
    text += [f"| {' | '.join([part, *gains])} |" for part, gains in by_part.items()]
    alone = [one for one in found["differences"] if one["rival"] == ALONE.name]
    gains = "; ".join(f"{one['metric']} {figure(one)}, {one['verdict']}" for one in alone)
    return [*text, f"\nThe pipeline against the same network from scratch: {gains}."]


def spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation over the seeds, as text."""
    return f"{fmean(values):.3f} ± {stdev(values) if len(values) > 1 else 0.0:.3f}"


def figure(one: Mapping[str, Any]) -> str:
    """Return a gain, its standard deviation over the seeds, and its p, as text."""
    return f"{one['mean']:+.3f} ± {one['deviation']:.3f} (p {one['p']:.2g})"


if __name__ == "__main__":
    main()
