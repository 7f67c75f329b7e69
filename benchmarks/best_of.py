"""AlphaGAN's best of three searches against the best of three random architectures of equal size.

    python -m benchmarks.best_of --data PATH/cifar10 --network weights/resnet20.pt
    python -m benchmarks.best_of --data PATH/cifar10 --network weights/resnet20.pt --seeds 0 1 --only-run
    python -m benchmarks.best_of --data PATH/cifar10 --network weights/resnet20.pt --gap hinge

Both sides follow one rule: each of three architectures is trained by itself for a quarter of the updates, and the best
by a Frechet distance on the validation images is kept; then that one is trained from scratch three times. All trainings
have the same updates, losses, discriminator and seeds, and random architectures have the found one's parameters, give
or take a tenth. What is compared is the mean of the three trainings, pair by pair. Images are prepared once.

The setting is small: pictures of 16 px, narrow networks, a few hundred updates. The distance is measured with
examples/resnet20.py's network and is not FID. Runs can be resumed; several processes may divide the seeds
(`--only-run`), and the last one collects the figures. `--gap hinge` searches by the paper's loss, and by the weights'
rate and steps for the bars.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.results import save, spread
from slimgen import recipe, stages
from slimgen.recipe import Recipe
from slimgen.report.paired import Difference
from slimgen.run.record import read_record

METRIC, REPEATS = "fd:resnet20", 3
SMALL = [
    *("size=16", "compute.threads=1", "compute.precision=fp32", f"objective.metric={METRIC}", "objective.images=1000"),
    *("teach.generator={family: sngan, channels: 16, latent: 64, size: 16}", "teach.updates=1"),
    *("teach.discriminator={family: sngan, channels: 16}", "budget={}", "data.validation=2500"),
    "supernet={iterations: 8, weight_steps: 20, critic_steps: 1, bar_steps: 5, architecture_steps: 10, batch: 16, "
    "rate: 4.0e-4, bar_rate: 1.0e-4, gap: scores, architecture_rate: 1.0e-2, architecture_decay: 0, channels: 16, "
    "discriminator_channels: 16, ema: 0.9}",
    *("search.channels=16", f"search.repeats={REPEATS}", "search.judged=0.25"),
    *("finetune.updates=300", "finetune.batch=32", f"finetune.repeats={REPEATS}", "finetune.rivals=[]"),
]
PAPERS = ["supernet.gap=hinge", "supernet.bar_rate=null", "supernet.bar_steps=10"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--gap", choices=("scores", "hinge"), default="scores")
    parser.add_argument("--out", type=Path, default=Path("runs/best_of"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--name", default="best_of-small")
    parser.add_argument("--only-run", action="store_true", help="collect no figures: other processes run other seeds")
    arguments = parser.parse_args()
    setting = [*SMALL, *(PAPERS if arguments.gap == "hinge" else []), *arguments.settings]
    base = recipe.load("images-alphagan").override([*setting, _features(arguments.network)])
    shared = arguments.out / "shared"
    stages.run(base, data=arguments.data, out=shared, until="teach")
    pairs: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        pairs.append(pair_of(base, seed, shared, arguments.out / f"{arguments.gap}-{seed}"))
        if not arguments.only_run:
            about = {"command": command(arguments), "metric": METRIC, "gap": arguments.gap, "setting": setting}
            save(arguments.name, {**about, "pairs": pairs, **summary(pairs)})
        one = pairs[-1]
        print(f"seed {seed}: " + "  ".join(f"{side} {spread(one[side]['values'])}" for side in ("found", "random")))
    if not arguments.only_run:
        print(json.dumps(summary(pairs)))


def command(arguments: argparse.Namespace) -> str:
    """Return the command that repeats the figures, with the usual places of images and weights."""
    given = [f"--seeds {' '.join(map(str, arguments.seeds))}", f"--gap {arguments.gap}"]
    given += [f"--set {setting}" for setting in arguments.settings]
    return " ".join(["python -m benchmarks.best_of --data runs/cifar10 --network weights/resnet20.pt", *given])


def _features(network: Path) -> str:
    about = {"path": str(network), "size": 32, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    return f"evaluate={{metrics: ['{METRIC}'], features: {json.dumps({'resnet20': about})}}}"


def pair_of(base: Recipe, seed: int, shared: Path, out: Path) -> dict[str, Any]:
    """Search, draw, and train both winners of one seed; return what both sides measured."""
    found = side_of(base.override([f"seed={seed}"]), shared, out / "found")
    size = int(float(found["search"]["params"]))
    drawn = ["supernet.iterations=0", "search.kind=random", f"search.params={size}"]
    random = side_of(base.override([f"seed={seed}", *drawn]), shared, out / "random")
    return {"seed": seed, "found": found, "random": random}


def side_of(chosen: Recipe, shared: Path, out: Path) -> dict[str, Any]:
    """Run one side up to its trainings, on the shared images: its metrics and the distances of all its trainings."""
    inputs = {stage: shared / stage for stage in ("prepare", "teach")}
    for stage in ("supernet", "search", "finetune"):
        getattr(stages, stage)(chosen, **inputs, out=out / stage)
        inputs[stage] = out / stage
    trained = read_record(out / "finetune")["metrics"]
    seconds = {stage: read_record(out / stage)["seconds"] for stage in ("supernet", "search", "finetune")}
    return {
        "values": [float(str(trained[f"found_repeat{number}_{METRIC}"])) for number in range(REPEATS)],
        "genotype": json.loads((out / "search" / "genotype.json").read_text())["genotype"],
        "supernet": dict(read_record(out / "supernet")["metrics"]),
        "search": dict(read_record(out / "search")["metrics"]),
        "seconds": seconds,
    }


def summary(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean distance of each side in each pair, and how much better the found ones are."""
    sides = {side: [mean(pair[side]["values"]) for pair in pairs] for side in ("found", "random")}
    gains = [random - found for found, random in zip(sides["found"], sides["random"], strict=True)]
    return {**sides, **Difference.of("random", METRIC, gains).facts}


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the paragraph on both sides, pair by pair."""
    rows = ["| seed | k params | found | random | found, each of its searches | random, each |", "| --- " * 6 + "|"]
    for pair in found["pairs"]:
        sides = [pair["found"], pair["random"]]
        each = [", ".join(f"{side['search'][f'repeat{n}_{METRIC}']:.1f}" for n in range(REPEATS)) for side in sides]
        size = float(pair["found"]["search"]["params"]) / 1e3
        rows.append(f"| {pair['seed']} | {size:.0f} | {' | '.join([*(spread(s['values']) for s in sides), *each])} |")
    told = ""
    if len(found["pairs"]) > 1:
        gain = f"{found['mean']:+.2f} ± {found['deviation']:.2f}"
        told = f" Gain of the found ones: {gain} (p {found['p']:.2g}, paired t test: {found['verdict']})."
    searches = [pair["found"]["supernet"] for pair in found["pairs"]]
    share, cosine = (mean(float(each[f"architecture_{key}"]) for each in searches) for key in ("beyond", "cosine"))
    return "\n".join(
        [
            f"**Best of {REPEATS} searches against best of {REPEATS} random architectures**, CIFAR-10 at 16 px, "
            f"{METRIC} (lower is better, not FID): mean ± standard deviation of {REPEATS} trainings from scratch, and "
            "the distances after a quarter of the updates, by which one of each side was kept. AlphaGAN's gap is of "
            f"the {found['gap']}; {share:.0%} of the pictures were beyond the hinge at the logits' steps, and the "
            f"cosine between gradients of independent batches was {cosine:.2f}.{told} `{found['command']}`",
            "",
            *rows,
        ]
    )


if __name__ == "__main__":
    main()
