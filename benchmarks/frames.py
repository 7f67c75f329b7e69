"""What the frame of CycleGANAS's cells costs: CycleGAN's own operations in it, beside CycleGAN's own generator.

    python -m benchmarks.frames
    python -m benchmarks.frames --seeds 1 --only-run   (in another process, at the same time)

All generators have the same kernels, parameters, initial weights, discriminators, losses and images; only the padding
and the activation before a sum differ. With `cyclegan` padding and no activation before sums, the cells are CycleGAN's
generator, so they are not trained again. Figures are of test images against their true partners. Finished trainings are
kept and not repeated. The results are written to benchmarks/results/.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.results import save, spread
from benchmarks.unpaired import evaluator
from slimgen import recipe, stages
from slimgen.data.batches import Pair, whole
from slimgen.data.prepared import Prepared
from slimgen.device import choose
from slimgen.methods.cyclegan_nas.options import training_of
from slimgen.methods.rivals import Plan, train_anew
from slimgen.nets import generator_cost
from slimgen.nets.cyclegan_nas.space import by_hand
from slimgen.report.paired import Difference
from slimgen.tasks import open_task, traits_of
from slimgen.tasks.embedded import drawn
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal

PLAIN = "CycleGAN"
METRIC = "psnr"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="benchmarks/townhouses-32-cyclegan_nas.yaml", help="sizes and lengths")
    parser.add_argument("--out", type=Path, default=Path("runs/frames"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--only-run", action="store_true", help="collect no figures: other processes run other seeds")
    arguments = parser.parse_args()
    base = recipe.load(arguments.recipe).override(arguments.settings)
    runs: list[dict[str, Any]] = []
    for number, seed in enumerate(arguments.seeds, 1):
        runs += of_seed(base.override([f"seed={seed}"]), arguments.out)
        if not arguments.only_run:
            about = {"recipe": base.name, "settings": arguments.settings, "seeds": arguments.seeds[:number]}
            save("frames", {**about, "updates": base.finetune.updates, "runs": runs})
            print("\n".join(lines(runs)), flush=True)


def plans(base: recipe.Recipe) -> dict[str, dict[str, Any]]:
    """Return the original, and its operations in every frame, at its width."""
    found = {PLAIN: dict(base.teach.generator)}
    for padding, activated in list(product(("cyclegan", "reflect", "one"), (False, True)))[1:]:
        training = training_of(base).model_copy(update={"padding": padding, "activated": activated})
        shape = training.generator(4 * found[PLAIN]["ngf"])
        cells = {"family": "cyclegan_nas", **training.frame, "hidden": shape.hidden, "spectral": False}
        name = f"cells, {padding}, {'activation' if activated else 'none'} before sums"
        found[name] = {**cells, "genotype": by_hand(shape).to_json()}
    return found


def of_seed(base: recipe.Recipe, out: Path) -> list[dict[str, Any]]:
    """Train both directions of every generator with one seed; return their qualities, finished ones' from files."""
    data = drawn(traits_of(base).embedded, base.size.height, out, print)
    run = out / f"{base.name}-{base.seed}"
    stages.run(base, data=data, out=run, until="prepare")
    compute = choose(base.compute.precision, base.compute.device, base.compute.threads)
    images, found = Prepared.open(run / "prepare"), []
    sides, steps = whole(images.split("test")), base.finetune.steps(len(images.split("train")))
    pairs = Pair(sides.input, sides.target), Pair(sides.target, sides.input)
    judges = [evaluator(base, pair, compute) for pair in pairs]
    for name, plan in plans(base).items():
        file = run / f"{name.replace(', ', '-').replace(' ', '_')}.json"
        about = {"way": name, "seed": base.seed, "plan": plan}
        settings = base.model_dump(mode="json")
        known = json.loads(file.read_text()) if file.is_file() else {}
        if known.get("settings") != settings:
            inputs = {"prepare": run / "prepare"}
            task = open_task(base, compute)
            job = Job(base, compute, task, images, inputs, run, lambda name: Journal(), lambda *told: None)
            nets = train_anew(job, "frame", [Plan(plan)] * 2, steps)
            values = [judge.measure(net)[METRIC] for judge, net in zip(judges, nets, strict=True)]
            known = {**about, "quality": values, "params": generator_cost(**base.size._asdict(), **plan).params}
            file.write_text(json.dumps({**known, "settings": settings}) + "\n")
        found.append({key: value for key, value in known.items() if key != "settings"})
    return found


def lines(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a Markdown table of both directions, with the gain over the original, paired seed by seed."""
    heads = [f"{what}{way}" for way in ("forward", "reverse") for what in ("PSNR ", f"over {PLAIN} (p), ")]
    text = [f"| generator | {' | '.join(heads)} | k params |", "| --- " * (len(heads) + 2) + "|"]
    for name in dict.fromkeys(run["way"] for run in runs):
        rows = {run["seed"]: run for run in runs if run["way"] == name}
        plain = {run["seed"]: run["quality"] for run in runs if run["way"] == PLAIN}
        cells = [name]
        for way in (0, 1):
            gain = Difference.of(PLAIN, METRIC, [row["quality"][way] - plain[seed][way] for seed, row in rows.items()])
            shown = "" if name == PLAIN else f"{gain.mean:+.2f} ({gain.p:.2f})"
            cells += [spread([row["quality"][way] for row in rows.values()]), shown]
        text.append(f"| {' | '.join(cells)} | {next(iter(rows.values()))['params'] / 1e3:.0f} |")
    return text


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the paragraph of the documents."""
    head = (
        f"**CycleGAN's own operations in the cells**, {found['recipe']}: all generators have the same kernels, initial "
        f"weights and images; {found['updates']} updates, PSNR on test images against their partners, mean ± standard "
        f"deviation over {len(found['seeds'])} seeds, and the mean gain over {PLAIN}, paired seed by seed. "
        f"`{found['command']}`"
    )
    return "\n".join([head, "", *lines(found["runs"])])


if __name__ == "__main__":
    main()
