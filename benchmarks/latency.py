"""The accuracy of latencies predicted by a table of pieces for whole sub-networks, compared with their MACs.

    python -m benchmarks.latency [--family mobile_resnet --space channels-48 --size 64 --threads 1 --networks 30]
    python -m benchmarks.latency --family trellis [--ngf 16 --size 64]
    python -m benchmarks.latency --family filters [--original resnet --ngf 16]
    python -m benchmarks.latency --family cells [--hidden 64]
    python -m benchmarks.latency --family edges [--channels 64]

The families are GAN Compression's channels, CF-GAN's trellis, co-evolution's filters (each network keeps a random
fraction of an original's), CycleGANAS's cells, and the edges of AlphaGAN's cells.

The table is measured as in a search with a limit on latency_ms. Then other random sub-networks are measured whole and
compared with the table's predictions: the error of each, and the rank correlation (Spearman's and Kendall's), next to
that of MACs. Last, one network is exported like a user's and timed in turns with the graph that the table measures.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
from scipy.stats import kendalltau, spearmanr

from benchmarks.results import save
from slimgen.cost.latency import onnx_latency
from slimgen.export.latency.clock import Clock
from slimgen.export.latency.graph import onnx_graph
from slimgen.export.latency.table import LatencyTable, Sample
from slimgen.export.onnx import export_onnx
from slimgen.methods.co_evolution import PIECES
from slimgen.nets import build_generator
from slimgen.nets.alphagan.description import SPACE
from slimgen.nets.cf_gan.space import Shape
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.cyclegan_nas.space import GeneratorShape, space_of
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.nets.initial import initialise
from slimgen.nets.pieces import Generators, InPieces
from slimgen.search.genotype import Genotype

PREDICTIONS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    families = [*sorted(OnceForAll.generators), "trellis", "filters", "cells", "edges"]
    parser.add_argument("--family", choices=families, default="mobile_resnet")
    parser.add_argument("--space", default="channels-48")
    parser.add_argument("--ngf", type=int, default=16, help="width of the trellis, or of the original for filters")
    parser.add_argument("--original", default="resnet", help="family of the original whose filters are cut")
    parser.add_argument("--hidden", type=int, default=64, help="of cells")
    parser.add_argument("--channels", type=int, default=64, help="of edges")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    nets, sample, of = known(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(nets, sample, arguments, Path(folder))
    save(f"latency-{arguments.family}-{of}-{arguments.size}px-{arguments.threads}t", found)
    for name, value in found.items():
        if isinstance(value, float | int):
            print(f"{name}: {value:.4g}")


def known(arguments: argparse.Namespace) -> tuple[InPieces, Sample, str]:
    """Return a family's networks, the function that draws their genotypes, and the name for the result."""
    size, ngf = arguments.size, arguments.ngf
    if arguments.family == "trellis":
        trellis = initialise(Trellis(Shape(ngf)), arguments.seed).eval()
        return trellis, trellis.space.sample, f"ngf{ngf}"
    if arguments.family == "filters":
        family, options = arguments.original, {"ngf": ngf}
        net = build_generator(family, **options).eval()
        filters = FilterSpace(net, torch.zeros(1, 3, size, size), family=family, options=options)
        of = Generators(filters.space, family, filters.described, filters.alike)
        return of, filters.sample, f"{family}-ngf{ngf}"
    if arguments.family == "cells":
        space, shape = space_of(GeneratorShape(arguments.hidden)), {"hidden": arguments.hidden, "spectral": False}
        cells = Generators(space, "cyclegan_nas", lambda genotype: {"genotype": genotype, **shape})
        return cells, space.sample, f"hidden{arguments.hidden}"
    if arguments.family == "edges":
        wide = {"channels": arguments.channels, "size": size}
        edges = Generators(SPACE, "alphagan", lambda genotype: {"genotype": genotype, **wide})
        return edges, SPACE.sample, f"channels{arguments.channels}"
    channels = OnceForAll(arguments.family, arguments.space).eval()
    return channels, channels.space.sample, arguments.space


def measure(supernet: InPieces, sample: Sample, arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Measure the table, and compare its predictions with measurements of networks that it has not seen."""
    size, threads = arguments.size, arguments.threads
    make: Callable[[], LatencyTable] = partial(
        LatencyTable.measure,
        supernet,
        sample,
        size,
        size,
        path=folder / "table.json",
        threads=threads,
        runs=arguments.runs,
        seed=arguments.seed,
        most=PIECES if arguments.family == "filters" else None,
    )
    started = time.perf_counter()
    table = make()
    took = time.perf_counter() - started
    networks = unseen(sample, table, arguments.networks, arguments.seed + 1)
    started = time.perf_counter()
    measured = table.measured(networks)
    each = (time.perf_counter() - started) / len(networks)
    predicted = [table.predict(genotype) for genotype in networks]
    macs = [supernet.cost(genotype, size, size).exact for genotype in networks]
    errors = [abs(guess / ms - 1) for guess, ms in zip(predicted, measured, strict=True)]
    by_macs = proportional(supernet, table, size)
    macs_errors = [abs(by_macs * count / ms - 1) for count, ms in zip(macs, measured, strict=True)]
    rows = zip(networks, measured, predicted, macs, strict=True)
    return {
        "family": arguments.family,
        "networks measured": len(networks),
        "fastest, ms": min(measured),
        "slowest, ms": max(measured),
        "median error": median(errors),
        "largest error": max(errors),
        "median error of a multiple of MACs": median(macs_errors),
        "largest error of a multiple of MACs": max(macs_errors),
        "Spearman, predicted": float(spearmanr(predicted, measured).statistic),
        "Spearman, MACs": float(spearmanr(macs, measured).statistic),
        "Kendall, predicted": float(kendalltau(predicted, measured).statistic),
        "Kendall, MACs": float(kendalltau(macs, measured).statistic),
        "pieces": len(table.as_dict()["pieces"]),  # type: ignore[arg-type]
        "seconds for the table": took,
        "seconds to measure one network": each,
        "microseconds to predict one": microseconds(sample, table, make),
        **exported(supernet, networks[0], size, threads, arguments.runs, folder),
        "table": {key: value for key, value in table.as_dict().items() if key not in ("pieces", "fitted", "checked")},
        "each": [
            {"genotype": genotype.to_json(), "measured_ms": ms, "predicted_ms": guess, "macs": count}
            for genotype, ms, guess, count in rows
        ],
    }


def unseen(sample: Sample, table: LatencyTable, count: int, seed: int) -> list[Genotype]:
    """Return random genotypes with which the table was neither fitted nor checked."""
    rng, found = random.Random(seed), dict.fromkeys((*table.fitted, *table.checked))
    known = len(found)
    while len(found) < known + count:
        found.setdefault(sample(rng))
    return list(found)[known:]


def proportional(supernet: InPieces, table: LatencyTable, size: int) -> float:
    """Return the milliseconds per MAC of the networks that the table was fitted to: the guess without a table."""
    return median(ms / supernet.cost(genotype, size, size).exact for genotype, ms in table.fitted.items())


def microseconds(sample: Sample, table: LatencyTable, make: Callable[[], LatencyTable]) -> float:
    """Return the time of a prediction, each for another network, with a new table whose pieces are known."""
    rng = random.Random(0)
    genotypes = [sample(rng) for _ in range(PREDICTIONS)]
    for genotype in genotypes:
        table.predict(genotype)  # missing pieces are measured here
    again = make()
    started = time.perf_counter()
    for genotype in genotypes:
        again.predict(genotype)
    return 1e6 * (time.perf_counter() - started) / len(genotypes)


def exported(
    supernet: InPieces, genotype: Genotype, size: int, threads: int, runs: int, folder: Path
) -> dict[str, float]:
    """Time one network as in the table and as exported, in turns; and the export by wall-clock time."""
    net, clock = supernet.extract(genotype).eval(), Clock(threads)
    shape = supernet.pieces(genotype, size, size)[0].shape
    latent = shape[1] if len(shape) == 2 else None
    with torch.inference_mode():
        file = export_onnx(net, folder / "generator.onnx", height=size, width=size, latent=latent)
    graphs = {"traced": onnx_graph(net, shape), "exported": file.path.read_bytes()}
    visits: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(runs):
        for name, graph in graphs.items():
            visits[name].append(clock.visit(graph, shape))
    times = {f"one network {name}, ms": clock.settle(found) for name, found in visits.items()}
    return {
        **times,
        "one network exported, median of the time that passes, ms": onnx_latency(
            file.path, shape, threads=threads, runs=runs
        ).p50_ms,
    }


if __name__ == "__main__":
    main()
