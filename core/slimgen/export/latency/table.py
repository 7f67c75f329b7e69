"""Latency of sub-networks in onnxruntime on this machine, predicted from a table of measured pieces.

A search asks for the latency of thousands of sub-networks; measuring each would take longer than scoring its images.
But the sub-networks of a supernet are made of few different pieces. Each is measured once, and a whole network is
predicted by a line over the sum of its pieces, fitted to some whole networks and checked with others. (Tables of
operators are used by ProxylessNAS, Cai et al. 2019, and FBNet, Wu et al. 2019.)
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from statistics import median

import numpy
from torch import nn

from slimgen.errors import SlimgenError
from slimgen.export.formats import FP32, to_time
from slimgen.export.latency.clock import VISIT, Clock, Visits
from slimgen.export.latency.columns import Columns, Line, Times, fit_line, predictor
from slimgen.export.latency.graph import onnx_graph
from slimgen.nets.pieces import InPieces, Piece
from slimgen.run.record import machine
from slimgen.search.genotype import Genotype
from slimgen.search.space import Space

Sample = Callable[[random.Random], Genotype]
"""Function that draws a random genotype for the table, as `Space.sample` does."""
Progress = Callable[[int, int], None]

_FRUITLESS = 500  # samples without a new piece before sampling stops
_PATIENCE = 4  # times the requested runs, at most, on a busy machine
_POOL = 200  # different genotypes to choose the measured networks from


class LatencyTable:
    """Latency of a call at batch size 1 as a line over the sum of a network's pieces. Made by `measure`.

    `fitted` holds the milliseconds of the whole networks that the line was fitted to, `checked` those of the check.
    """

    def __init__(
        self,
        supernet: InPieces,
        height: int,
        width: int,
        threads: int,
        runs: int,
        path: Path,
        keep: bool = False,
        deploy: str = FP32,
    ) -> None:
        import onnxruntime

        if runs < 1:
            raise SlimgenError("runs must be at least 1", runs)
        self._supernet, self._size, self._clock = supernet, (height, width), Clock(threads)
        self._deploy, self._graphs = deploy, dict[str, bytes]()
        self._rounds = -(-runs // VISIT)
        # Everything that the times depend on; the pieces of the largest network identify the supernet.
        conditions: dict[str, object] = {
            "cpu": str(machine()["cpu"]),
            "onnxruntime": str(onnxruntime.__version__),
            "threads": threads,
            "clock": self._clock.name,
            "height": height,
            "width": width,
            "runs": self._rounds * VISIT,
            "largest": [piece.key for piece in supernet.pieces(supernet.space.largest(), height, width)],
            **({} if deploy == FP32 else {"deploy": deploy}),
        }
        self._visits = Visits(path, conditions, ("cpu", "onnxruntime") if keep else ())
        self.conditions = self._visits.conditions
        self._pieces: dict[str, float] = {}
        self._remembered = lru_cache(maxsize=1 << 14)(lambda genotype: self.line.at(sum(self._each(genotype))))
        self.line = Line(0.0, 1.0)
        self.fitted: dict[Genotype, float] = {}
        self.checked: dict[Genotype, float] = {}

    @classmethod
    def measure(
        cls,
        supernet: InPieces,
        sample: Sample,
        height: int,
        width: int,
        *,
        path: Path,
        threads: int = 1,
        runs: int = 24,
        seed: int = 0,
        fit: int = 12,
        check: int = 8,
        tolerance: float = 0.1,
        most: int | None = None,
        keep: bool = False,
        deploy: str = FP32,
        progress: Progress | None = None,
    ) -> "LatencyTable":
        """Measure the sampled pieces and some whole networks in turns, then fit and check the line.

        The file is saved every few seconds: after a kill the same call resumes, and after the end it returns the same
        table without measuring. The networks of the check are the first samples; those of the fit are spread over the
        range of MACs, so that the line does not extrapolate far.

        Args:
            supernet: a supernet, or a family, whose networks consist of known pieces.
            sample: draws the genotypes.
            height: height of the input image in px.
            width: likewise.
            path: JSON file of the table; it and its folder are created.
            threads: threads within an operator.
            runs: timed calls of each piece and each network, rounded up to whole visits.
            seed: seed of the samples.
            fit: whole networks to fit the line to; fewer if the space has fewer.
            check: whole networks to check it with; likewise.
            tolerance: median relative error of the check above which everything is visited again, up to four times as
                often. The remaining error is in `error`, for the caller to judge.
            most: number of pieces to measure in advance if there are very many; others are measured when first needed.
            keep: accept a finished table of another processor or onnxruntime: a search that resumes elsewhere, or
                runs on several machines, must keep the costs that it began with.
            deploy: number format of pieces and networks, `fp32` or `int8`.
            progress: called with the visits done and the total.

        Raises:
            RecipeError: the pieces of this supernet's sub-networks are not known.
            ExportError: a piece or network has a layer that is not translated, or that onnxruntime cannot run.
            SlimgenError: `threads`, `runs`, `fit` or `check` is below 1.
            RunError: the file cannot be written.
        """
        if fit < 1 or check < 1:
            raise SlimgenError("fit and check must each be at least 1", f"{fit=}, {check=}")
        table = cls(supernet, height, width, threads, runs, path, keep, deploy)
        pieces, samples = table._sampled(sample, random.Random(seed), fit + check, most)
        fitted, checked = table._choose(samples, fit, check)
        # All in the same rounds, so that pieces and networks meet the same state of the machine.
        networks = {_name(genotype): table._network(genotype) for genotype in (*fitted, *checked)}
        visits = {key: table._piece(piece) for key, piece in pieces.items()}
        for turn in range(1, _PATIENCE + 1):
            table._visits.take({**visits, **networks}, turn * table._rounds, progress)
            table._settle(pieces, fitted, checked)
            if table.error["median"] <= tolerance:
                break
        table._rounds *= turn
        table._visits.save(table.as_dict())
        return table

    @classmethod
    def recalled(
        cls,
        supernet: InPieces,
        genotype: Genotype,
        height: int,
        width: int,
        *,
        path: Path,
        threads: int,
        runs: int = 24,
        deploy: str = FP32,
    ) -> tuple[float, float] | None:
        """Return a sub-network's milliseconds by a finished table's file, and the largest error of the table's check.

        None where there is no finished table of these networks, or it lacks a piece; nothing is measured or written.
        """
        table = cls(supernet, height, width, threads, runs, path, keep=True, deploy=deploy)
        visits = [table._visits[piece.key] for piece in supernet.pieces(genotype, height, width)]
        line, checked = (table._visits.summary.get(name) for name in ("slope", "error"))
        begin = table._visits.summary.get("intercept_ms")
        error = checked.get("max") if isinstance(checked, dict) else None
        if not (isinstance(line, float) and isinstance(begin, float) and isinstance(error, float) and all(visits)):
            return None
        return Line(begin, line).at(sum(map(table._clock.settle, visits))), error

    def _settle(self, pieces: Iterable[str], fitted: Iterable[Genotype], checked: Iterable[Genotype]) -> None:
        """Update pieces, networks and line from the visits so far."""
        self._pieces = {key: self._settled(key) for key in pieces}
        self.fitted = {genotype: self._settled(_name(genotype)) for genotype in fitted}
        self.checked = {genotype: self._settled(_name(genotype)) for genotype in checked}
        self.line = fit_line([sum(self._each(genotype)) for genotype in self.fitted], list(self.fitted.values()))
        self._remembered.cache_clear()

    def predict(self, genotype: Genotype) -> float:
        """Return the milliseconds of a call of a sub-network at batch size 1; measure an unknown piece first."""
        return self._remembered(genotype)

    def columns(self, space: Space) -> Callable[[Columns], Times]:
        """Return a function that predicts many genotypes of a space at once, from one array of values per dimension.

        Raises:
            SlimgenError: the space has masks or conditions, or its sub-networks differ in the number of pieces.
        """

        def keys(genotype: Genotype) -> list[str]:
            return [piece.key for piece in self._supernet.pieces(genotype, *self._size)]

        return predictor(space, keys, self._each, self.line)

    @property
    def error(self) -> dict[str, float]:
        """Return the `median` and `max` relative error on the networks that the line was not fitted to."""
        errors = [abs(self.predict(genotype) / measured - 1) for genotype, measured in self.checked.items()]
        return {"median": median(errors), "max": max(errors)} if errors else {}

    def measured(self, genotypes: Sequence[Genotype], progress: Progress | None = None) -> list[float]:
        """Measure whole sub-networks in turns, in milliseconds per call, and keep the result to check predictions."""
        self._visits.take({_name(one): self._network(one) for one in genotypes}, self._rounds, progress)
        self._visits.save(self.as_dict())
        return [self._settled(_name(genotype)) for genotype in genotypes]

    def as_dict(self) -> dict[str, object]:
        """Return conditions, line, error, and milliseconds of networks and pieces, as plain values."""
        return {
            "conditions": self.conditions,
            "intercept_ms": self.line.intercept,
            "slope": self.line.slope,
            "error": self.error,
            "fitted": self._rows(self.fitted),
            "checked": self._rows(self.checked),
            "pieces": dict(self._pieces),
        }

    def _rows(self, networks: Mapping[Genotype, float]) -> list[dict[str, object]]:
        return [
            {"genotype": genotype.to_json(), "measured_ms": measured, "predicted_ms": self.predict(genotype)}
            for genotype, measured in networks.items()
        ]

    def _sampled(
        self, sample: Sample, rng: random.Random, networks: int, most: int | None
    ) -> tuple[dict[str, Piece], list[Genotype]]:
        """Return every sampled piece by key, at least `most`, and some different genotypes."""
        pieces: dict[str, Piece] = {}
        genotypes: dict[Genotype, None] = {}
        fruitless = 0
        while fruitless < _FRUITLESS and (most is None or len(pieces) < most or len(genotypes) < networks):
            genotype = sample(rng)
            if len(genotypes) < _POOL:
                genotypes.setdefault(genotype)
            known = len(pieces)
            for piece in self._supernet.pieces(genotype, *self._size):
                pieces.setdefault(piece.key, piece)
            fruitless = 0 if len(pieces) > known else fruitless + 1
        return pieces, list(genotypes)

    def _choose(self, samples: Sequence[Genotype], fit: int, check: int) -> tuple[list[Genotype], list[Genotype]]:
        """Return networks to fit the line to, and others to check it with; a single one serves for both."""
        if len(samples) == 1:
            return list(samples), list(samples)
        check = min(check, len(samples) // 2)
        rest = sorted(samples[check:], key=lambda genotype: self._supernet.cost(genotype, *self._size).exact)
        numbers = numpy.linspace(0, len(rest) - 1, min(fit, len(rest))).round()
        return [rest[int(number)] for number in numbers], list(samples[:check])

    def _piece(self, piece: Piece) -> Callable[[], float]:
        return lambda: self._clock.visit(self._graph(piece.key, piece.build, piece.shape), piece.shape)

    def _network(self, genotype: Genotype) -> Callable[[], float]:
        shape = self._supernet.pieces(genotype, *self._size)[0].shape
        # The extracted network, not the chain of its pieces: anything that the pieces omit shows up as an error.
        build = partial(self._supernet.extract, genotype)
        return lambda: self._clock.visit(self._graph(_name(genotype), build, shape), shape)

    def _graph(self, name: str, build: Callable[[], nn.Module], shape: Sequence[int]) -> bytes:
        """Return the graph of a piece or network; one whose making takes long is made only once."""
        if self._deploy == FP32:
            return onnx_graph(build(), shape)
        if name not in self._graphs:
            self._graphs[name] = to_time(onnx_graph(build(), shape), shape, self._deploy)
        return self._graphs[name]

    def _each(self, genotype: Genotype) -> list[float]:
        """Return the milliseconds of each piece, in order."""
        pieces = self._supernet.pieces(genotype, *self._size)
        missing = {piece.key: self._piece(piece) for piece in pieces if piece.key not in self._pieces}
        if missing:
            self._visits.take(missing, self._rounds)
            self._pieces |= {key: self._settled(key) for key in missing}
        return [self._pieces[piece.key] for piece in pieces]

    def _settled(self, name: str) -> float:
        return self._clock.settle(self._visits[name])


def _name(genotype: Genotype) -> str:
    return f"network {genotype.key}"
