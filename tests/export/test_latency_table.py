import itertools
import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy
import onnx
import pytest
import torch
from torch import nn

from slimgen.errors import ExportError, RecipeError, SlimgenError
from slimgen.export.latency.clock import VISIT, Clock, Visits
from slimgen.export.latency.columns import fit_line
from slimgen.export.latency.graph import onnx_graph
from slimgen.export.latency.table import LatencyTable
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.nets.gan_compression.once_for_all_spade import OnceForAllSpade

SIZE = 32


def supernet() -> OnceForAll:
    torch.manual_seed(0)
    return OnceForAll(space=((8, 24),) * 8, blocks=3).eval()


def measure(net: OnceForAll, path: Path, **options: int) -> LatencyTable:
    return LatencyTable.measure(net, net.space.sample, SIZE, SIZE, path=path, **{"runs": 8, "fit": 8, **options})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[OnceForAll, LatencyTable, Path]:
    net, path = supernet(), tmp_path_factory.mktemp("latency") / "new" / "table.json"
    return net, measure(net, path), path


def test_networks_that_were_not_fitted_to_are_predicted(made: tuple[OnceForAll, LatencyTable, Path]) -> None:
    _, table, _ = made
    assert len(table.fitted) == len(table.checked) == 8
    assert not set(table.fitted) & set(table.checked)
    assert max(table.checked.values()) > 1.3 * min(table.checked.values())
    assert table.error["median"] < 0.15  # a few hundredths, even on a busy machine


def test_a_prediction_is_the_line_at_the_sum_of_the_pieces(made: tuple[OnceForAll, LatencyTable, Path]) -> None:
    net, table, _ = made
    pieces = table.as_dict()["pieces"]
    genotype = net.space.sample(random.Random(5))
    total = sum(pieces[piece.key] for piece in net.pieces(genotype, SIZE, SIZE))
    expected = table.line.intercept + table.line.slope * total
    assert table.predict(genotype) == table.predict(genotype) == pytest.approx(expected, rel=1e-12)


def test_a_table_made_again_is_the_same_to_the_bit_and_measures_nothing(
    made: tuple[OnceForAll, LatencyTable, Path],
) -> None:
    net, table, path = made
    before = path.read_bytes()
    again = measure(net, path)
    assert again.as_dict() == table.as_dict()
    assert path.read_bytes() == before


def test_a_table_of_int8_times_quantized_graphs_and_makes_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, path, seen = supernet(), tmp_path / "table.json", list[bytes]()
    part = net.space.pin(net.space.smallest(), free=("channel.up2",))
    plain = Clock.visit

    def visit(clock: Clock, graph: bytes, shape: tuple[int, ...]) -> float:
        seen.append(graph)
        return plain(clock, graph, shape)

    monkeypatch.setattr(Clock, "visit", visit)
    make = {"path": path, "runs": 2 * VISIT, "fit": 1, "check": 1, "tolerance": float("inf")}
    table = LatencyTable.measure(net, part.sample, SIZE, SIZE, deploy="int8", **make)
    kinds = [{node.op_type for node in onnx.load_from_string(graph).graph.node} for graph in seen]
    whole = [each for each in kinds if "QuantizeLinear" in each]
    stored = [each for each in kinds if "DequantizeLinear" in each and each not in whole]
    assert len(whole) >= 4  # dense convolutions, and both networks
    assert stored  # transposed ones
    assert len({id(graph) for graph in seen}) == len(seen) / 2  # two visits to each
    assert table.conditions["deploy"] == "int8"
    smallest = part.smallest()
    how = {"path": path, "threads": 1, "runs": 2 * VISIT}
    assert LatencyTable.recalled(net, smallest, SIZE, SIZE, deploy="int8", **how) is not None
    assert LatencyTable.recalled(net, smallest, SIZE, SIZE, **how) is None  # of float32 nothing is known


def test_all_genotypes_of_a_space_are_predicted_at_once_as_one_by_one(
    made: tuple[OnceForAll, LatencyTable, Path],
) -> None:
    net, table, _ = made
    genotypes = list(net.space.enumerate())
    columns = {name: numpy.array([genotype[name] for genotype in genotypes]) for name in net.space}
    found = table.columns(net.space)(columns)
    numpy.testing.assert_allclose(found, [table.predict(genotype) for genotype in genotypes], rtol=1e-12)
    with pytest.raises(SlimgenError, match=r"channel\.stem must be one of \[8, 24\]; got 16"):
        table.columns(net.space)({**columns, "channel.stem": numpy.full(len(genotypes), 16)})


def test_a_table_that_errs_too_much_is_measured_up_to_four_times_as_often(tmp_path: Path) -> None:
    net, path = supernet(), tmp_path / "table.json"
    make = {"path": path, "runs": VISIT, "fit": 2, "check": 2}
    part = net.space.pin(net.space.smallest(), free=("channel.up2",))
    LatencyTable.measure(net, part.sample, SIZE, SIZE, tolerance=float("inf"), **make)
    assert {len(times) for times in json.loads(path.read_text())["visits"].values()} == {1}
    LatencyTable.measure(net, part.sample, SIZE, SIZE, tolerance=-1, **make)
    assert {len(times) for times in json.loads(path.read_text())["visits"].values()} == {4}


def test_a_piece_that_was_not_drawn_is_measured_when_asked_for_and_kept(tmp_path: Path) -> None:
    net, path = supernet(), tmp_path / "table.json"
    part = net.space.pin(net.space.smallest(), free=("channel.up1", "channel.up2"))
    make = {"path": path, "runs": 4, "fit": 2, "check": 1}
    table = LatencyTable.measure(net, part.sample, SIZE, SIZE, **make)
    largest = net.space.largest()
    first = table.predict(largest)
    assert first > table.predict(net.space.smallest())
    assert LatencyTable.measure(net, part.sample, SIZE, SIZE, **make).predict(largest) == first


def test_a_space_of_one_network_has_a_table_too(tmp_path: Path) -> None:
    net = supernet()
    only = net.space.smallest()
    table = LatencyTable.measure(net, lambda rng: only, SIZE, SIZE, path=tmp_path / "table.json", runs=4)
    assert table.predict(only) == pytest.approx(table.checked[only], rel=0.05)


def test_a_network_that_is_not_known_in_pieces_is_refused(tmp_path: Path) -> None:
    net = OnceForAllSpade(space="channels-48-spade", inputs=4)
    with pytest.raises(RecipeError, match="latency_ms"):
        LatencyTable.measure(net, net.space.sample, SIZE, SIZE, path=tmp_path / "table.json")


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"runs": 0}, {"fit": 0}, {"check": 0}])
def test_a_table_without_threads_runs_or_networks_is_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(
        SlimgenError, match=r"(threads|runs) must be at least 1; got 0|fit and check must each be at least 1; got .*=0"
    ):
        measure(supernet(), tmp_path / "table.json", **wrong)


# The clock


def test_one_thread_counts_by_its_lower_quartile_and_several_by_their_minimum() -> None:
    assert Clock(1).settle([5, 1, 2, 100, 3]) == 2
    assert Clock(2).settle([5, 1, 2, 100, 3]) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_ten_convolutions_take_longer_than_two(threads: int) -> None:
    graphs = [onnx_graph(nn.Sequential(*[nn.Conv2d(16, 16, 3, padding=1)] * many), (1, 16, 32, 32)) for many in (2, 10)]
    short, long = (min(Clock(threads).visit(graph, (1, 16, 32, 32)) for _ in range(5)) for graph in graphs)
    assert 2 * short < long


def test_a_graph_that_does_not_run_is_an_error_of_one_line() -> None:
    with pytest.raises(ExportError, match=r"\(1, 4, 8, 8\)") as refused:
        Clock(1).visit(onnx_graph(nn.Conv2d(3, 3, 1), (1, 3, 8, 8)), (1, 4, 8, 8))
    assert "\n" not in str(refused.value)


# The line


def test_latencies_proportional_to_their_pieces_are_fitted_exactly() -> None:
    line = fit_line([1, 2, 4], [1.5, 3, 6])
    assert (line.intercept, line.slope) == (pytest.approx(0, abs=1e-9), pytest.approx(1.5))
    assert line.at(3) == pytest.approx(4.5)


def test_an_intercept_is_found_where_the_networks_are_spread() -> None:
    totals = numpy.geomspace(1, 20, 12)
    line = fit_line(totals, 0.5 + 1.1 * totals)
    assert line.at(1) == pytest.approx(1.6, rel=0.01)
    assert line.at(20) == pytest.approx(22.5, rel=0.01)


def test_one_disturbed_network_does_not_move_the_line() -> None:
    totals = numpy.linspace(3, 6, 12)
    latencies = 1.1 * totals * (1 + 0.01 * numpy.tile([1, -1, 0], 4))
    clean = fit_line(totals, latencies)
    latencies[5] *= 3
    disturbed = fit_line(totals, latencies)
    for total in (3, 6):
        assert disturbed.at(total) == pytest.approx(clean.at(total), rel=0.02)


def test_networks_of_equal_sums_leave_smaller_ones_proportional() -> None:
    line = fit_line([5.0, 5.01, 4.99, 5.0], [5.6, 5.4, 5.6, 5.5])
    assert line.at(2) == pytest.approx(2.2, rel=0.05)
    assert line.at(0) >= 0


# What is kept


def numbered() -> Callable[[], float]:
    count = itertools.count(1)
    return lambda: float(next(count))


def test_graphs_take_turns(tmp_path: Path) -> None:
    order: list[str] = []

    def visit(name: str) -> float:
        order.append(name)
        return 1.0

    Visits(tmp_path / "visits.json", {}).take({name: partial(visit, name) for name in "ab"}, 3)
    assert order == ["a", "b"] * 3


def test_an_interrupted_measurement_is_resumed(tmp_path: Path) -> None:
    path, told = tmp_path / "visits.json", []

    def stop() -> float:
        raise KeyboardInterrupt

    begun = Visits(path, {"threads": 1})
    with pytest.raises(KeyboardInterrupt):
        begun.take({"a": numbered(), "b": numbered(), "c": stop}, 3)
    resumed, again = Visits(path, {"threads": 1}), numbered()
    assert (resumed["a"], resumed["b"], resumed["c"]) == ([1], [1], [])
    resumed.take({"a": again, "b": numbered(), "c": numbered()}, 3, lambda done, total: told.append((done, total)))
    assert resumed["a"] == [1, 1, 2]
    assert again() == 3
    assert told == [(done, 9) for done in range(1, 10)]
    assert Visits(path, {"threads": 1})["c"] == [1, 2, 3]


@pytest.mark.parametrize("damage", ["", "{", '{"conditions": {"threads": 1}, "visits": 3}', "[1]"])
def test_a_damaged_file_is_measured_again(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "visits.json"
    path.write_text(damage)
    assert Visits(path, {"threads": 1})["a"] == []


@pytest.mark.parametrize("times", ["[1, null]", "[-1]", '["1"]', "3", "[true]"])
def test_times_that_are_none_are_measured_again(times: str, tmp_path: Path) -> None:
    path = tmp_path / "visits.json"
    path.write_text(f'{{"conditions": {{}}, "visits": {{"a": {times}, "b": [2.5]}}}}')
    visits = Visits(path, {})
    assert (visits["a"], visits["b"]) == ([], [2.5])


def test_times_of_other_conditions_are_not_used(tmp_path: Path) -> None:
    Visits(tmp_path / "visits.json", {"threads": 1}).take({"a": numbered()}, 2)
    assert Visits(tmp_path / "visits.json", {"threads": 1})["a"] == [1, 2]
    assert Visits(tmp_path / "visits.json", {"threads": 2})["a"] == []


def test_only_a_finished_file_may_be_of_another_machine_and_says_of_which(tmp_path: Path) -> None:
    path, here, there = tmp_path / "visits.json", {"cpu": "a", "threads": 1}, {"cpu": "b", "threads": 1}
    visits = Visits(path, here)
    visits.take({"a": numbered()}, 1)
    assert Visits(path, there, ["cpu"])["a"] == []
    visits.save({"error": 0.1})
    assert Visits(path, there)["a"] == []
    assert Visits(path, {**there, "threads": 2}, ["cpu"])["a"] == []
    kept = Visits(path, there, ["cpu"])
    assert (kept["a"], kept.conditions) == ([1], here)
    before = path.read_bytes()
    kept.save()
    assert path.read_bytes() == before


def test_a_search_resumed_elsewhere_keeps_its_first_table(
    made: tuple[OnceForAll, LatencyTable, Path], tmp_path: Path
) -> None:
    net, table, path = made
    elsewhere = json.loads(path.read_text())
    elsewhere["conditions"]["cpu"] = "another"
    (tmp_path / "table.json").write_text(json.dumps(elsewhere))
    genotype = net.space.sample(random.Random(6))
    kept = measure(net, tmp_path / "table.json", keep=True)
    assert kept.conditions["cpu"] == "another"
    assert kept.predict(genotype) == table.predict(genotype)
    assert measure(net, tmp_path / "table.json").conditions == table.conditions


def test_of_very_many_pieces_the_others_are_measured_when_they_are_asked_for(tmp_path: Path) -> None:
    net, make = supernet(), {"runs": 4, "fit": 2, "check": 1, "most": 1}
    few = LatencyTable.measure(net, net.space.sample, SIZE, SIZE, path=tmp_path / "table.json", tolerance=9, **make)
    sampled = {piece.key for one in (*few.fitted, *few.checked) for piece in net.pieces(one, SIZE, SIZE)}
    assert set(few.as_dict()["pieces"]) == sampled
    largest = net.space.largest()
    assert few.predict(largest) > 0
    assert set(few.as_dict()["pieces"]) == sampled | {piece.key for piece in net.pieces(largest, SIZE, SIZE)}
