"""Writer of the figures and pictures in README.md and docs/results.md, from measured results; none is typed by hand.

    python -m benchmarks.readme runs/townhouses-cf_gan runs/townhouses-gan_compression

Takes the tables and the pictures of runs, and every file in benchmarks/results/.
"""

import argparse
import json
import re
import shutil
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import (
    ablations,
    beside_peers,
    best_of,
    bits,
    chance,
    coevolved,
    converters,
    frames,
    hinge,
    integers,
    judgement,
    pruning,
    tiled,
    unpaired,
    upscalers,
    variants,
)
from benchmarks.comparison import lines
from benchmarks.fair import limit
from benchmarks.fair import lines as against
from benchmarks.graph import lines as graph_lines
from benchmarks.norms import lines as norm_lines
from benchmarks.parts import lines as earned
from benchmarks.results import RESULTS
from benchmarks.step import lines as step_lines
from slimgen.cost.formula import CONVENTIONS
from slimgen.nets import discriminator_cost, generator_cost
from slimgen.recipe import Recipe
from slimgen.report.table import markdown_table, read_table
from slimgen.report.variants import read_variants, variants_markdown
from slimgen.run.record import read_record

ROOT = Path(__file__).parents[1]
PICTURES = {
    "evaluate/grid.png": "grid.png",
    "search/pareto.png": "pareto.png",
    "search/architecture.png": "architecture.png",
}
NETWORKS = {
    "ResNet, 9 blocks, ngf 64": (generator_cost, "resnet", 256, {}),
    "U-Net-256": (generator_cost, "unet", 256, {}),
    "mobile ResNet, 9 blocks, ngf 64": (generator_cost, "mobile_resnet", 256, {}),
    "mobile sub-network 32_32_48_32_48_48_16_16": (
        generator_cost,
        "mobile_resnet",
        256,
        {"config": "32_32_48_32_48_48_16_16"},
    ),
    "SPADE, ngf 64, 36 label channels": (generator_cost, "spade", 256, {}),
    "alphaGAN_(s)": (generator_cost, "alphagan_s", 32, {}),
    "alphaGAN_(l)": (generator_cost, "alphagan_l", 32, {}),
    "SRResNet, x4": (generator_cost, "srresnet", 256, {}),
    "RRDBNet (ESRGAN), x4": (generator_cost, "rrdbnet", 256, {}),
    "SRVGGNetCompact, 32 blocks, x4": (generator_cost, "srvgg", 256, {"blocks": 32}),
    "PatchGAN, 6 channels, ndf 128": (discriminator_cost, "patchgan", 256, {"ndf": 128}),
}
"""Name to cost function, family, side of the images in pixels, and options."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="none leaves the table of runs as it is")
    runs = parser.parse_args().runs
    for run in runs:
        method = Recipe.parse(read_record(run / "evaluate")["recipe"]).method
        for source, name in PICTURES.items():
            shutil.copyfile(run / source, ROOT / "docs" / f"{method}-{name}")
    rows = [row for run in runs for row in read_table(run / "evaluate" / "table.json", run.name).rows]
    shown = {"chance": "\n".join(chance.lines(figures("fair"))), "hours": "\n\n".join(map(job, figures("hours")))}
    if rows:
        exported = [one for run in runs for one in read_variants(run, run.name)]
        goals = {metric: goal for row in rows for metric, goal in row.goals.items()}
        shown["run"] = f"{markdown_table(rows)}\n{variants_markdown(exported, goals)}"
    fill(ROOT / "README.md", shown)
    fill(ROOT / "docs" / "results.md", {**results(), "profile": profile()})


def figures(kind: str) -> list[Mapping[str, Any]]:
    """Return the files of figures of one kind of benchmark, by name."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{kind}-*.json"))]


def fill(page: Path, filled: Mapping[str, str]) -> None:
    """Replace the text between `<!-- NAME -->` and `<!-- end -->`; each name must occur once in the page."""
    text = page.read_text()
    for name, content in filled.items():
        pattern = re.compile(rf"<!-- {name} -->.*?<!-- end -->", re.DOTALL)
        text, found = pattern.subn(lambda match: f"<!-- {name} -->\n{content}\n<!-- end -->", text)  # noqa: B023
        if found != 1:
            raise SystemExit(f"{page.name} has {found} places for {name!r}; there must be one")
    page.write_text(text)


def results() -> dict[str, str]:
    """Return the measured results by kind: a paragraph for each file, with its figures and the command for them.

    Each is between marks, so that other pages can include it by `<!-- shown: docs/results.md:fair-townhouses-32 -->`.
    """
    files = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    compared: dict[str, dict[str, Any]] = {}
    for stem, found in files.items():
        if stem.startswith("comparison-"):
            compared.setdefault(found["recipe"].partition("-")[0], {})[found["recipe"]] = found
    kinds = {"comparison": [_marked(f"comparison-{data}", comparison(data, one)) for data, one in compared.items()]}
    for stem, found in files.items():
        kind = stem.partition("-")[0]
        if kind in RESULT:
            kinds.setdefault(kind, []).append(_marked(stem, RESULT[kind](found)))
    return {kind: "\n" + "\n\n".join(paragraphs) + "\n" for kind, paragraphs in kinds.items()}


def _marked(name: str, paragraph: str) -> str:
    return f"<!-- --8<-- [start:{name}] -->\n\n{paragraph}\n\n<!-- --8<-- [end:{name}] -->"


def comparison(data: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one table for all recipes of a data set, over several seeds."""
    first = next(iter(found.values()))
    gaps = []
    for values in found.values():
        rows = values["generators"]
        quality = [f"{name} {mean(rows[name]['quality']['psnr']['gaps']):+.2f}" for name in rows if name != "original"]
        took = mean(sum(run.values()) for run in values["seconds"])
        gaps.append(f"{values['method']} {', '.join(quality)} dB, {took:.0f} s")
    return "\n".join(
        [
            f"**Original, found and narrowed generators on {data}**{settings(first)}: quality on test images, mean ± "
            f"standard deviation over {first['seeds']} seeds. Mean difference in PSNR from the original, and time of a "
            f"run: {'; '.join(gaps)}. Measured on {machine(first)}. `{first['command']}`",
            "",
            *lines(found),
        ]
    )


def rates(found: Mapping[str, Any]) -> str:
    """Return the paragraph on rates and the machine's limits."""
    rows = ["| | per second | GMAC/s | share of a large convolution's |", "| --- | --- | --- | --- |"]
    for compute, kinds in found["rates"].items():
        kind = compute.split()[1]
        for name, rate in kinds.items():
            rows.append(f"| {name}, {kind} | {rate['rate']:.1f} | {rate['gmacs']:.0f} | {rate['share']:.2f} |")
    limits = ", ".join(
        f"{' '.join(name.split()[1:3])} {values['forward']:.0f}" for name, values in found["limits"].items()
    )
    head = (
        f"**Rate of supernet training (steps) and evaluation (candidates)**, and its share of the machine's limit, the "
        f"rate of a large convolution in the same run. That reaches, forward, in GMAC/s: {limits}. slimgen chooses "
        f"{found['chosen']}. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def fair(found: Mapping[str, Any]) -> str:
    """Return the paragraph on found generators and their rivals, over seeds and budgets."""
    tables = []
    for budget, values in found["budgets"].items():
        tables += against(limit(budget), values)
    return "\n".join(
        [
            f"**Found generators against rivals**, {found['recipe']}{settings(found)}: quality, mean ± standard "
            f"deviation over {len(found['seeds'])} seeds, and how much better the found generator is (p of a paired t "
            "test). Rivals are trained from scratch for as many updates as all trainings that led to the found one; "
            f"halving uses at most its MACs. Measured on {machine(found)}. `{found['command']}`",
            *tables,
        ]
    )


def hours(found: Mapping[str, Any]) -> str:
    """Return the paragraph on a preset's estimated hours on a large GPU."""
    rows = [
        "| training | updates | batch size | PMACs | operator calls per step | hours |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in found["trainings"].items():
        figures = (
            f"{row['updates']:,}",
            f"{row['batch']}",
            f"{row['MACs'] / 1e15:,.0f}",
            f"{row['calls a step']:,.0f}",
        )
        rows.append(f"| {' | '.join([name, *figures])} | {row['hours']:.1f} |")
    head = (
        f"**Training time of {found['recipe']} on one H200, estimated, not run: {found['hours']:.1f} hours.** A step "
        "takes its MACs at a quarter of the dense bf16 peak, or 10 us per operator call, whichever is longer. "
        f"`{found['command']}`"
    )
    step = step_lines(found["step"]) if found.get("step") else []
    return "\n".join([head, "", *rows, *(["", *step] if step else [])])


def job(found: Mapping[str, Any]) -> str:
    """Return a sentence on a preset's estimated hours on a large GPU."""
    trainings = found["trainings"].items()
    parts = ", ".join(
        f"{name} {row['updates']:,} updates with batch size {row['batch']} ({row['hours']:.1f} h)"
        for name, row in trainings
    )
    return (
        f"`{found['recipe']}`, a paper's full setting, would take {found['hours']:.0f} hours on one H200, an estimate "
        f"from its MACs and operator calls: {parts}."
    )


def graph(found: Mapping[str, Any]) -> str:
    """Return the paragraph on exported networks before and after their graphs are rewritten."""
    head = (
        "**Exported graphs before -> after rewriting**: number of nodes, latency, and how many times as fast as the "
        "original; in brackets, the speed-up as a share of the reduction in MACs. In onnxruntime with one thread, in "
        f"turns, on {machine(found)}. Single convolutions: `benchmarks/results/graph.json`. `{found['command']}`"
    )
    return "\n".join([head, "", *takewhile(bool, graph_lines(found))])


def kills(found: Mapping[str, Any]) -> str:
    """Return the paragraph and table on runs that were killed and resumed."""
    parts, aimed = found["parts"], ("a rename or the like", "a result moved aside", "a rival's training")
    rows = [
        "| | kills | at random | before a rename | a result moved aside | a rival's training | MLflow "
        "| SIGTERM, stages | runs finished | outputs compared | differing |",
        "| --- " * 11 + "|",
    ]
    for name, part in parts.items():
        how, left = part["how"], len(part["outputs differing"])
        mlflow = sum(count for kind, count in how.items() if "MLflow" in kind)
        others = part["kills"] - mlflow - sum(how.get(kind, 0) for kind in aimed)
        numbers = [part["kills"], others, *(how.get(kind, 0) for kind in aimed), mlflow, len(part["SIGTERM in"])]
        numbers += [part["runs that came to their end"], part["outputs compared"], left]
        rows.append(f"| {name} | {' | '.join(map(str, numbers))} |")
    lost = [name for part in parts.values() for name in part["results of before that are lost"]]
    left = [name for part in parts.values() for name in part["left behind"]]
    count = sum(part["kills"] for part in parts.values())
    head = (
        f"**Runs killed with SIGKILL {count} times and resumed**, a row for each "
        "kind: of a method its smallest recipe, with rivals and a finished result of another seed to replace; "
        "of torchrun one of two ranks; of `dvc repro` and Kubeflow the whole pipeline or its stage. Finished "
        f"results lost: {', '.join(lost) or 'none'}; files left behind: {', '.join(left) or 'none'}. "
        f"`{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def latency(found: Mapping[str, Any]) -> str:
    """Return the paragraph on predicted and measured latencies."""
    about = found["table"]["conditions"]
    family = found.get("family", about["largest"][0].split()[0])
    return (
        f"**Error of predicted latency, {family}** at {about['height']} px in onnxruntime with "
        f"{threads(about['threads'])}: median {found['median error']:.1%}, largest {found['largest error']:.1%}, over "
        f"{found['networks measured']} networks that are not in the table (predicted as a multiple of MACs: "
        f"{found['median error of a multiple of MACs']:.1%} and {found['largest error of a multiple of MACs']:.1%}). "
        f"Rank correlation with the measured latency: {found['Spearman, predicted']:.3f} (of MACs: "
        f"{found['Spearman, MACs']:.3f}). The table takes {found['seconds for the table']:.0f} s, a prediction "
        f"{found['microseconds to predict one']:.0f} us. `{found['command']}`"
    )


def milliseconds(found: Mapping[str, Any]) -> str:
    """Return the paragraph on searches with limits on latency."""
    rows = [
        "| limit, ms | predicted, ms | measured, ms | exported, p50 ms | evaluations |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in found["searches"]:
        times = (row[name] for name in ("limit_ms", "predicted_ms", "measured_ms", "exported_p50_ms"))
        rows.append(f"| {' | '.join(f'{time:.2f}' for time in times)} | {row['evaluations']:.0f} |")
    head = (
        f"**Latency of generators found under a limit on it**, {found['recipe']} with {threads(found['threads'])}. "
        f"The prediction includes the largest error of the latency table as a margin. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def parts(found: Mapping[str, Any]) -> str:
    """Return the paragraph on the gain of each part of GAN Compression's pipeline."""
    head = (
        f"**Gain of each part of GAN Compression's pipeline**, {found['recipe']}, {len(found['rows'])} seeds. The "
        "trainings that lead to each generator have the same number of updates in total; p values are of paired t "
        f"tests and not corrected for the number of tests. Measured on {machine(found)}. `{found['command']}`"
    )
    return "\n".join([head, *earned(found["recipe"], found)])


def ranking(found: Mapping[str, Any]) -> str:
    """Return the paragraph on Kendall's tau of supernets and of other scores."""
    spread, within = found["spread"], bool(found["path"])
    heads = ["score", "tau, all (p)", "PSNR of its pick, of the best"]
    if within:
        heads += [f"tau within {found['path']} (p)", "PSNR of its pick, of the best"]
    heads.append("s per network")
    rows = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for name, values in found["scores"].items():
        cells = [name]
        for part in ("all", "within") if within else ("all",):
            one = values[part]
            cells += [f"{one['tau']:+.2f} ({one['p']:.2g})", f"{one['picked']:.2f} of {one['best']:.2f}"]
        cells.append(f"{values['seconds']:.2f}" if values.get("seconds") else "")
        rows.append(f"| {' | '.join(cells)} |")
    path = f", within the path {spread['within']:.2f} dB" if within else ""
    head = (
        f"**How well scores rank networks**, {found['recipe']}: Kendall's tau with the PSNR (dB, validation images) of "
        f"{len(found['genotypes'])} networks of equal MACs, spread over the space, each trained by itself for "
        f"{found['updates']} updates with {len(found['alone'][0])} seeds. Standard deviation over all networks "
        f"{spread['all']:.2f} dB{path}, over seeds {spread['of a seed']:.2f} dB. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def both_ways(found: Mapping[str, Any]) -> str:
    """Return the paragraph on both generators of a CycleGAN, found in several ways."""
    seeds, paired = len(found["seeds"]), "psnr" in next(iter(found["generators"].values()))["quality"]
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "1 seed"
    partners = " against their partners, which neither training nor search used" if paired else ""
    night = f" ({found['night']} night images)" if found.get("night") else ""
    head = (
        f"**Generators of both directions, {found['recipe']}**{settings(found)}{night}: quality on test images"
        f"{partners}; cycle: mean absolute error after both translations (lower is better); {spread}. Measured on "
        f"{machine(found)}. `{found['command']}`"
    )
    return "\n".join([head, "", *unpaired.lines(found["generators"]), *unpaired.gains(found.get("differences", ()))])


def chosen(found: Mapping[str, Any]) -> str:
    """Return the paragraph on co-evolved masks beside rankings and chance."""
    head = (
        f"**Filters of both generators chosen in several ways, {found['recipe']}**{settings(found)}: quality on test "
        "images against their true partners, and CycleGAN's cycle loss there (lower is better), after equal "
        f"fine-tuning; mean ± standard deviation over {len(found['seeds'])} seeds. Measured on {machine(found)}. "
        f"`{found['command']}`"
    )
    return "\n".join([head, "", *coevolved.lines(found["rows"], found["searches"])])


def from_noise(found: Mapping[str, Any]) -> str:
    """Return the paragraph on AlphaGAN's found, hand-designed and random generators."""
    names = list(found["runs"][0]["rows"])
    rows = ["| seed | " + " | ".join(names) + " | k params, found |", "| --- " * (len(names) + 2) + "|"]
    for run in found["runs"]:
        values = " | ".join(f"{run['rows'][name][found['metric']]:.2f}" for name in names)
        rows.append(f"| {run['seed']} | {values} | {run['rows']['found']['params'] / 1e3:.0f} |")
    spreads = (found["found"], found["random"])
    own, random = (f"{spread['mean']:.2f} ± {spread['deviation']:.2f}" for spread in spreads)
    head = (
        f"**CIFAR-10 from noise**, {found['metric']} (lower is better): AlphaGAN's found generator, the hand-designed "
        "one (original), and random architectures of the found one's size, all trained for "
        f"{found['runs'][0]['rows']['found']['updates']:,} updates. Mean ± standard deviation: found {own}, random "
        f"{random}; found is better than {found['wins']} of {found['rivals']} random ones. Measured on "
        f"{machine(found)}. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def relaxation_memory(found: Mapping[str, Any]) -> str:
    """Return the paragraph on memory and time of steps with mixed operations."""
    rows = ["| method | relaxation | MiB per step | s per step |", "| --- | --- | --- | --- |"]
    for method, ways in found["methods"].items():
        for way, taken in ways.items():
            rows.append(f"| {method} | {way} | {taken['bytes'] / 2**20:.0f} | {taken['seconds']:.3f} |")
    head = (
        "**Peak memory and time of a step with mixed operations**: AlphaGAN's supernet (batch size "
        f"{found['batch']}, {found['channels']} channels) and CycleGANAS's four networks (hidden width "
        f"{found['hidden']}), on {found['compute']}. `softmax` keeps the activations of all branches, `recompute` "
        "computes them twice, `sampled` draws one branch. Memory is counted above that of the process before the step. "
        f"`{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def norms(found: Mapping[str, Any]) -> str:
    """Return the paragraph on a norm's two passes and PyTorch's kernels."""
    head = (
        "**Time of a norm, forward and backward**, in slimgen (here) and in PyTorch's kernels; in brackets, how many "
        f"times slimgen's time. One thread, channels_last, in turns, on {machine(found)}. `{found['command']}`"
    )
    return "\n".join([head, "", *norm_lines(found["rows"])])


def settings(found: Mapping[str, Any]) -> str:
    """Return the changed settings of a recipe as options of the command line, or nothing."""
    options = " ".join(f"--set {setting}" for setting in found["settings"])
    return f" with `{options}`" if options else ""


def threads(count: int) -> str:
    """Return a number of threads with its noun."""
    return f"{count} thread" if count == 1 else f"{count} threads"


def machine(found: Mapping[str, Any]) -> str:
    """Return a short description of the machine."""
    facts = found["machine"]
    return f"{facts['cores']} cores ({facts['cpu']})"


RESULT = {
    "ablations": ablations.paragraph,
    "rates": rates,
    "judgement": judgement.paragraph,
    "fair": fair,
    "graph": graph,
    "hours": hours,
    "kills": kills,
    "unpaired": both_ways,
    "converters": converters.paragraph,
    "frames": frames.paragraph,
    "alphagan": from_noise,
    "best_of": best_of.paragraph,
    "hinge": hinge.paragraph,
    "co_evolution": beside_peers.co_evolution,
    "coevolved": chosen,
    "evaluation": beside_peers.evaluation,
    "distillation": beside_peers.distillation,
    "enumeration": beside_peers.enumeration,
    "latency": latency,
    "norms": norms,
    "milliseconds": milliseconds,
    "parts": parts,
    "pruning": pruning.paragraph,
    "ranking": ranking,
    "relaxation_memory": relaxation_memory,
    "tiled": tiled.paragraph,
    "upscalers": upscalers.paragraph,
    "variants": variants.paragraph,
    "integers": integers.paragraph,
    "bits": bits.paragraph,
}


def profile() -> str:
    """Return a table of published networks' costs under every convention."""
    rows = ["| network | px | parameters | " + " | ".join(CONVENTIONS) + " |"]
    rows.append("| --- " * (3 + len(CONVENTIONS)) + "|")
    for name, (cost_of, family, size, options) in NETWORKS.items():
        cost = cost_of(family, size, size, **options)
        macs = " | ".join(f"{cost.macs(convention):,}" for convention in CONVENTIONS)
        rows.append(f"| {name} | {size} | {cost.params:,} | {macs} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
