"""Does a weight-sharing network rank its sub-networks as training them alone would? Kendall's tau, by way of training.

    python -m benchmarks.ranking --data PATH/facades [--networks 12] [--updates 800] [--out runs/comparison]

Random sub-networks of a space are scored inside the supernet, and each is then trained alone from scratch with the
same losses, schedule and data. Three supernets are compared: CF-GAN's, trained fairly and with independently drawn
operators (the same sub-networks for both), and GAN Compression's once-for-all network. Scores are the objective on the
validation images. Stages and networks that are there already are not computed again.
"""

import argparse
import json
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scipy.stats import kendalltau

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.device import Compute, choose
from slimgen.methods import cf_gan, gan_compression
from slimgen.metrics.evaluator import Evaluator
from slimgen.nets import build_generator
from slimgen.nets.configurations import write_config
from slimgen.nets.resnet.description import CHANNELS
from slimgen.nets.supernet import Supernet
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe, section
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.gan import GanTraining, train_gan
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal

SUPERNETS: dict[str, tuple[str, list[str]]] = {
    "fair": ("cf_gan", []),
    "uniform": ("cf_gan", ["supernet.sampling=uniform"]),
    "once-for-all": ("gan_compression", []),
}
"""Name to the method of the recipe, and what is changed in it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default="facades", help="what their names begin with: facades or townhouses")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/comparison"))
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--updates", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"networks": arguments.networks, "updates": arguments.updates, "supernets": {}}
    for name, (method, settings) in SUPERNETS.items():
        preset = f"{arguments.recipes}-{method}"
        chosen = recipe.load(preset).override([*settings, *arguments.settings, f"seed={arguments.seed}"])
        home = arguments.out / f"{preset}-{arguments.seed}{'-uniform' * (name == 'uniform')}"
        job, net = trained(chosen, arguments.data, home)
        genotypes = drawn(net, arguments.networks, arguments.seed)
        alone = scores_alone(chosen, job, net, genotypes, arguments.updates, arguments.out / f"ranking-{preset}.jsonl")
        inside = [judge(job, chosen).measure(job.compute.place(net.extract(one)).eval()) for one in genotypes]
        metric = chosen.objective.metric
        pairs = [[values[metric], alone[one.key]] for values, one in zip(inside, genotypes, strict=True)]
        tau = kendalltau(*zip(*pairs, strict=True))
        found["supernets"][name] = {
            "recipe": preset,
            "metric": metric,
            "tau": float(tau.statistic),
            "p": float(tau.pvalue),
            "inside and alone": pairs,
            "macs": [net.cost(one, chosen.size, chosen.size).exact for one in genotypes],
        }
        spread = statistics.stdev(score for _, score in pairs)
        print(
            f"{name}: tau {tau.statistic:+.2f} (p {tau.pvalue:.3f}), spread of {metric} alone {spread:.2f}", flush=True
        )
    save(f"ranking-{arguments.recipes}", found)


def trained(chosen: Recipe, data: Path, home: Path) -> tuple[Job, Supernet]:
    """The supernet of a recipe, trained unless it is there, and what its stage works with."""
    stages.prepare(chosen, data=data, out=home / "prepare")
    stages.teach(chosen, prepare=home / "prepare", out=home / "teach")
    stages.supernet(chosen, prepare=home / "prepare", teach=home / "teach", out=home / "supernet")
    compute = choose(chosen.compute.precision, chosen.compute.device, chosen.compute.threads)
    job = job_of(chosen, compute, home)
    net: Supernet
    if chosen.method == "cf_gan":
        net, _ = cf_gan.networks(job, section(cf_gan.SupernetOptions, chosen.supernet, "supernet"))
    else:
        options = section(gan_compression.SupernetOptions, chosen.supernet, "supernet")
        net = gan_compression.once_for_all(job, options)
    net.load_state_dict(load_weights(home / "supernet" / "generator.safetensors"))
    return job, net.eval()


def job_of(chosen: Recipe, compute: Compute, home: Path) -> Job:
    """A job without checkpoints: what is trained here takes seconds."""
    return Job(
        recipe=chosen,
        compute=compute,
        task=open_task(chosen, compute),
        data=Prepared.open(home / "prepare"),
        inputs={"teach": home / "teach", "supernet": home / "supernet"},
        out=home,
        journal=lambda name: Journal(),
        tell=lambda what, done, total, values: None,
    )


def drawn(net: Supernet, count: int, seed: int) -> list[Genotype]:
    """Different random genotypes."""
    rng = random.Random(f"ranking/{seed}")
    found: dict[Genotype, None] = {}
    while len(found) < count:
        found.setdefault(net.space.sample(rng))
    return list(found)


def judge(job: Job, chosen: Recipe) -> Evaluator:
    """The evaluator of the search."""
    images = whole(job.data.split("val"), chosen.objective.images)
    return Evaluator(images, [chosen.objective.metric], compute=job.compute, features=chosen.evaluate.features)


def scores_alone(
    chosen: Recipe, job: Job, net: Supernet, genotypes: Sequence[Genotype], updates: int, file: Path
) -> dict[str, float]:
    """The score of each architecture trained from scratch, by genotype key; kept line by line."""
    known: dict[str, float] = {}
    if file.is_file():
        lines = (json.loads(line) for line in file.read_text().splitlines())
        known = {line["key"]: line["score"] for line in lines if line["updates"] == updates}
    schedule = chosen.finetune.model_copy(update={"updates": updates, "epochs": None})
    for genotype in genotypes:
        if genotype.key in known:
            continue
        generator = job.compute.place(build_generator(seed=chosen.seed, **described(chosen, net, genotype)))
        result = train_gan(job, GanTraining("alone", generator, job.task.discriminator(), schedule, updates))
        known[genotype.key] = judge(job, chosen).measure(result)[chosen.objective.metric]
        with file.open("a") as lines_out:
            lines_out.write(json.dumps({"key": genotype.key, "updates": updates, "score": known[genotype.key]}) + "\n")
    return known


def described(chosen: Recipe, net: Supernet, genotype: Genotype) -> Mapping[str, Any]:
    """Family and options of a sub-network, for `build_generator`."""
    if chosen.method == "cf_gan":
        shape = section(cf_gan.SupernetOptions, chosen.supernet, "supernet").shape
        return {"family": "trellis", "genotype": genotype.to_json(), **asdict(shape)}
    options = section(gan_compression.SupernetOptions, chosen.supernet, "supernet")
    shape = {name: value for name, value in chosen.teach.generator.items() if name in ("blocks", "inputs", "outputs")}
    return {"family": options.family, "config": write_config(CHANNELS.config(genotype)), **shape}


if __name__ == "__main__":
    main()
