"""The evaluation of a search's candidate: the published way against slimgen's, in turns, in one run.

    python -m benchmarks.evaluation [--images 120 --size 256 --candidates 3 --repeats 3]

Candidates are sub-networks of channels-48, measured on townhouses by the Frechet distance of Inception's features and
by PSNR. Both ways have the same weights. Inception's weights are drawn, in pytorch-fid's format, so that none must be
downloaded; its norms are identities, since random layers between centring norms would amplify rounding errors.

The limit is the time of the convolutions of generator and Inception at the rate of a large convolution of the same
type, measured in the same run.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import townhouses
from benchmarks import profiling
from benchmarks.peers import MobileResnet
from benchmarks.peers_search import Pictures, Search, eight_bit, features, inception_weights, moments, pytorch_fid
from benchmarks.peers_search import frechet as frechet_plain
from benchmarks.rates import limit
from benchmarks.results import save
from slimgen.cost.count import count
from slimgen.device import Compute, choose
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.frechet import Statistics, frechet
from slimgen.metrics.inception import load_inception
from slimgen.nets.configurations import write_config
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.nets.initial import initialise
from slimgen.nets.resnet.description import CHANNELS
from slimgen.search.genotype import Genotype

SPACE = "channels-48"
SIDE = 299
"""Side of Inception's input in pixels."""


class Setting(NamedTuple):
    """The networks, images and limits that both ways use."""

    supernet: OnceForAll
    reference: MobileResnet
    pictures: Pictures
    images: tuple[Tensor, Tensor]
    weights: Path
    limits: Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--candidates", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-batch", type=int, default=1, help="images per forward pass in the published way")
    parser.add_argument("--peer-workers", type=int, default=0, help="decoding processes in the published way")
    parser.add_argument("--metrics", nargs="+", choices=("fid", "psnr"), default=("fid", "psnr"))
    arguments = parser.parse_args()
    chosen = choose(device="cpu")
    computes = {str(compute): compute for compute in (Compute(chosen.device), chosen)}
    with tempfile.TemporaryDirectory() as folder:
        setting = prepare(Path(folder), arguments, computes)
        macs = count(load_inception(setting.weights), torch.zeros(1, 3, SIDE, SIDE)).exact
        found = {metric: measured(metric, setting, computes, arguments, macs) for metric in arguments.metrics}
    about = {name: getattr(arguments, name) for name in ("images", "size", "repeats", "peer_batch", "peer_workers")}
    values = {**about, "space": SPACE, "limits": setting.limits, "inception_gmacs": macs / 1e9, "metrics": found}
    save(f"evaluation-{arguments.size}px", values)
    for metric, result in found.items():
        print("\n".join(lines(metric, result)))


def prepare(folder: Path, arguments: argparse.Namespace, computes: Mapping[str, Compute]) -> Setting:
    """Draw images and weights, and measure the limits."""
    townhouses.write(folder / "data", seed=0, train=1, test=arguments.images, size=arguments.size)
    pictures = Pictures(sorted((folder / "data" / "test").iterdir()), arguments.size)
    inputs, targets = (torch.stack(side) for side in zip(*(pictures[at] for at in range(len(pictures))), strict=True))
    supernet = initialise(OnceForAll(space=SPACE), 0).eval()
    reference = MobileResnet(CHANNELS.config(supernet.space.largest()))
    reference.load_state_dict(supernet.state_dict())
    weights = folder / "inception.pth"
    torch.save(inception_weights(), weights)
    limits = {name: limit(compute) for name, compute in computes.items()}
    return Setting(
        Compute(torch.device("cpu")).place(supernet), reference, pictures, (inputs, targets), weights, limits
    )


def measured(
    metric: str, setting: Setting, computes: Mapping[str, Compute], arguments: argparse.Namespace, macs: int
) -> dict[str, Any]:
    """Measure all candidates by one metric, both ways in turns."""
    space, rng = setting.supernet.space, random.Random(0)
    genotypes = [space.sample(rng) for _ in range(arguments.candidates)]
    search = published(metric, setting, arguments)
    evaluators = {
        name: Evaluator(
            setting.images, [metric], compute=compute, features={"inception": {"path": str(setting.weights)}}
        )
        for name, compute in computes.items()
    }
    for evaluator in evaluators.values():  # once to warm up; this also computes the real side, as the published way did
        evaluator.measure(evaluator.compute.ready(setting.supernet.extract(space.smallest())))
    rows: list[dict[str, Any]] = [{"peers": [], **{name: [] for name in computes}} for _ in genotypes]
    for _ in range(arguments.repeats):
        for genotype, row in zip(genotypes, rows, strict=True):
            row["peers"].append(timed(lambda: search.judge(CHANNELS.config(genotype))))  # noqa: B023  (called at once)
            for name, evaluator in evaluators.items():
                row[name].append(timed(lambda: judge(setting.supernet, genotype, evaluator)))  # noqa: B023
    candidates = [summary(row, genotype, computes) for row, genotype in zip(rows, genotypes, strict=True)]
    ours = {
        name: {
            "ratio": total(candidates, "peers") / total(candidates, name),
            "seconds": total(candidates, name) / len(candidates),
            "difference": max(candidate[name]["difference"] for candidate in candidates),
            **limits(genotypes, setting, evaluators[name], macs if metric == "fid" else 0),
        }
        for name in computes
    }
    found = {"peers": total(candidates, "peers") / len(candidates), "ours": ours, "candidates": candidates}
    if metric == "fid":
        found["of the same images"] = alike(
            search, evaluators[str(Compute(torch.device("cpu")))], setting, genotypes[0]
        )
    return found


def alike(search: Search, evaluator: Evaluator, setting: Setting, genotype: Genotype) -> float:
    """Return the relative difference of both ways' distances on the same generated images, without the generator."""
    fake = evaluator.outputs(evaluator.compute.ready(setting.supernet.extract(genotype)))
    assert search.fid is not None
    inception, real = search.fid
    theirs = frechet_plain(moments(features(inception, eight_bit(fake), 1)), real)
    return abs(evaluator.score(fake)["fid"] - theirs) / theirs


def published(metric: str, setting: Setting, arguments: argparse.Namespace) -> Search:
    """Return the published way with the moments of the photographs, which it reads from a file."""
    about = {"batch": arguments.peer_batch, "workers": arguments.peer_workers}
    if metric == "psnr":
        search = Search(setting.reference, setting.pictures, **about)
    else:
        inception = pytorch_fid(torch.load(setting.weights, weights_only=True))
        real = moments(features(inception, eight_bit(setting.images[1]), arguments.peer_batch))
        search = Search(setting.reference, setting.pictures, **about, fid=(inception, real))
    with torch.no_grad():
        search.supernet(search.example)
    return search


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and its result."""
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, found


def judge(supernet: OnceForAll, genotype: Genotype, evaluator: Evaluator) -> tuple[float, int]:
    """Measure one candidate slimgen's way: return its value and its MACs."""
    side = evaluator.inputs.shape[-1]
    macs = supernet.cost(genotype, side, side).gan_compression
    values = evaluator.measure(evaluator.compute.ready(supernet.extract(genotype)))
    return next(iter(values.values())), macs


def summary(row: Mapping[str, Any], genotype: Genotype, computes: Mapping[str, Compute]) -> dict[str, Any]:
    """Return the medians of one candidate, and the difference between both ways.

    Raises:
        SystemExit: the MACs differ.
    """
    judged = [found for _, found in row["peers"]]
    value = judged[0].value
    spent = {name: median(found.seconds[name] for found in judged) for name in judged[0].seconds}
    peers = {"seconds": median(seconds for seconds, _ in row["peers"]), "value": value, "spent": spent}
    config = write_config(CHANNELS.config(genotype))
    about: dict[str, Any] = {"config": config, "gmacs": judged[0].macs / 1e9, "peers": peers}
    for name in computes:
        ours, macs = row[name][0][1]
        if macs != judged[0].macs:
            raise SystemExit(f"{config}: both ways must count the same MACs; got {macs} and {judged[0].macs}")
        # Relative for a distance, absolute for decibels.
        difference = abs(ours - value) / (1.0 if "PSNR" in spent else value)
        about[name] = {"seconds": median(seconds for seconds, _ in row[name]), "value": ours, "difference": difference}
    return about


def total(candidates: Sequence[Mapping[str, Any]], way: str) -> float:
    """Return the total seconds of one way."""
    return sum(candidate[way]["seconds"] for candidate in candidates)


def limits(genotypes: Sequence[Genotype], setting: Setting, evaluator: Evaluator, inception: int) -> dict[str, Any]:
    """Return the time of the convolutions alone, and slimgen's time by part, for the first candidate.

    Args:
        genotypes: all candidates.
        setting: with the limits.
        evaluator: warmed up.
        inception: MACs of Inception on one image; 0 where it is not used.
    """
    compute, images, side = evaluator.compute, len(evaluator.inputs), evaluator.inputs.shape[-1]
    extracting, net = timed(lambda: compute.ready(setting.supernet.extract(genotypes[0])))
    generating, fake = timed(lambda: evaluator.outputs(net))
    dtypes: set[torch.dtype] = set()

    def note(module: nn.Module, given: object, out: object) -> None:
        if isinstance(module, nn.Conv2d) and isinstance(out, Tensor):
            dtypes.add(out.dtype)

    with nn.modules.module.register_module_forward_hook(note):
        scoring, _ = timed(lambda: evaluator.score(fake))
    spent = {"extraction": extracting, "generator": generating, "scoring": scoring}
    macs = sum(setting.supernet.cost(genotype, side, side).exact for genotype in genotypes) * images / len(genotypes)
    least = {"generator": macs / setting.limits[str(compute)] / 1e9}
    if inception:
        name = str(compute) if dtypes == {compute.dtype} else str(Compute(compute.device))
        least[f"Inception, {name}"] = images * inception / setting.limits[name] / 1e9
        found = torch.randn(images, 2048, generator=torch.Generator().manual_seed(0))
        real = Statistics.of(found.flip(1))
        frechet(real, found)
        spent["of scoring, the Frechet distance"], _ = timed(lambda: frechet(real, found))
    return {"limit": least, "spent": spent, "operations": profiling.operations(lambda: evaluator.measure(net))}


def lines(metric: str, result: Mapping[str, Any]) -> list[str]:
    """Return one metric's figures as lines of text."""
    text = [f"{metric}: the published way takes {result['peers']:.2f} s per candidate"]
    if "of the same images" in result:
        text.append(f"on the same images, both ways differ by {result['of the same images']:.1e} of the distance")
    spent = result["candidates"][0]["peers"]["spent"]
    text += [f"  {seconds:8.3f} s {name}" for name, seconds in spent.items()]
    for name, ours in result["ours"].items():
        unit = " dB" if metric == "psnr" else " of the distance"
        text.append(
            f"{name}: {ours['seconds']:.2f} s, {ours['ratio']:.2f} times as fast, off by {ours['difference']:.1e}{unit}"
        )
        text += [f"  {seconds:8.3f} s {part}" for part, seconds in ours["spent"].items()]
        least = sum(ours["limit"].values())
        share = least / ours["seconds"]
        text.append(f"  {least:8.3f} s at the limit, of which {share:.2f} is reached {ours['limit']}")
        text += [f"    {line}" for line in profiling.lines(ours["operations"])]
    return text


if __name__ == "__main__":
    main()
