"""AlphaGAN's found generators against random architectures of equal size, trained equally long, over several seeds.

    slimgen data get cifar10 runs/cifar10
    python -m benchmarks.alphagan --data runs/cifar10 --network weights/resnet20.pt
    python -m benchmarks.alphagan --data runs/cifar10 --network weights/resnet20.pt --paper alphagan_s

The first command is a small setting for two CPU cores: narrow networks, short searches. With `--paper` the recipe is
the paper's, for a GPU, and the figure of interest is each stage's time: the authors' search of alphaGAN_(s) took 3 GPU
hours. The feature network is examples/resnet20.py's, so the distance is not FID. Runs can be resumed.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.run.record import read_record
from slimgen.stages.table import STAGES

METRIC = "fd:resnet20"
SMALL = [
    *("teach.generator.channels=32", "teach.discriminator.channels=32"),
    *("supernet.iterations=60", "supernet.critic_steps=1", "supernet.bar_steps=10", "supernet.architecture_steps=10"),
    *("supernet.batch=32", "supernet.rate=0.001", "supernet.architecture_rate=0.01", "supernet.gap=false"),
    *("supernet.channels=32", "supernet.discriminator_channels=32", "search.channels=32"),
    *(
        f"{training}.{setting}"
        for training in ("teach", "finetune")
        for setting in (
            *("updates=1200", "batch=32", "discriminator_batch=32", "discriminator_steps=1"),
            *("rate=0.001", "ema=0.99"),
        )
    ),
    "evaluate.images=10000",
]
"""Changes to the paper's recipe: generators with an eighth of the width, discriminators with a quarter, one step of the
critic for each step of the generator, rates of 1e-3, with which a thousand updates give varied pictures, and no G-bar,
which gives the logits no gradient. The original is the hand-designed generator, trained equally long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--paper", choices=("alphagan_s", "alphagan_l"))
    parser.add_argument("--out", type=Path, default=Path("runs/alphagan"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--random", type=int, default=3, help="number of random architectures for each seed")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    runs = [measured(arguments, seed) for seed in range(arguments.seeds)]
    setting = [] if arguments.paper else SMALL
    found = {"metric": METRIC, "setting": setting, "settings": arguments.settings, "runs": runs, **summary(runs)}
    save(f"alphagan-{arguments.paper or 'small'}", found)
    for run in runs:
        print(f"seed {run['seed']}: " + "  ".join(f"{name} {row[METRIC]:.3f}" for name, row in run["rows"].items()))
    print(f"found is better than {found['wins']} of {found['rivals']} random architectures of its seed and size")
    for name in ("found", "random"):
        print(f"{name:8} {found[name]['mean']:.3f} ± {found[name]['deviation']:.3f}")
    print(f"seconds of search: {mean(run['seconds']['supernet'] for run in runs):.0f}")


def recipe_of(arguments: argparse.Namespace, seed: int) -> recipe.Recipe:
    """Return the paper's recipe or the small one, with random architectures and the feature network."""
    base = recipe.load(f"cifar10-{arguments.paper or 'alphagan_s'}")
    network = {"path": str(arguments.network), "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    own = [
        *(["finetune.rivals=[by_hand]"] if arguments.paper else SMALL),
        *(f"seed={seed}", f"search.random={arguments.random}"),
        *(f"evaluate.metrics=['{METRIC}']", f"evaluate.features={json.dumps({'resnet20': network})}"),
    ]
    return base.override([*own, *arguments.settings])


def measured(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run one seed: return cost and quality of each generator, and the seconds of each stage."""
    out = arguments.out / f"{arguments.paper or 'small'}-{seed}"
    stages.run(recipe_of(arguments, seed), data=arguments.data, out=out, until="evaluate")
    table = json.loads((out / "evaluate" / "table.json").read_text())
    rows = {
        row["name"]: {
            METRIC: row["metrics"][METRIC],
            **{"params": row["params"], "macs": row["macs"], "updates": row["updates"]},
        }
        for row in table["rows"]
    }
    return {
        "seed": seed,
        "protocol": table["protocol"],
        "genotype": json.loads((out / "search" / "genotype.json").read_text())["genotype"],
        "search": read_record(out / "search")["metrics"],
        "rows": rows,
        "seconds": {name: read_record(out / name)["seconds"] for name in list(STAGES)[:6]},
    }


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise found and random architectures over all seeds; each random one is compared with its own seed's find."""
    found = [run["rows"]["found"][METRIC] for run in runs]
    rivals = [[row[METRIC] for name, row in run["rows"].items() if name.startswith("random")] for run in runs]
    every = [value for values in rivals for value in values]
    wins = sum(own < value for own, values in zip(found, rivals, strict=True) for value in values)
    spread = {
        name: {"mean": mean(values), "deviation": stdev(values) if len(values) > 1 else 0.0}
        for name, values in (("found", found), ("random", every))
    }
    return {**spread, "wins": wins, "rivals": len(every)}


if __name__ == "__main__":
    main()
