"""Several processes search as one, and end where one process alone ends."""

import json
from pathlib import Path

import pytest

from slimgen import stages
from slimgen.recipe import Recipe
from tests.processes import free_port, killed_when, ranks
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny.yaml").read_text())


@pytest.fixture
def trained(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write(tmp_path / "images", seed=0, train=12, test=3, size=32)
    stages.run(TINY, data=tmp_path / "images", out=tmp_path / "run", progress=quiet, until="supernet")
    return tmp_path / "run"


def search_command(run: Path, out: Path) -> list[str]:
    recipe = out.parent / "recipe.yaml"
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text(TINY.to_yaml())
    folders = [part for name in ("prepare", "teach", "supernet") for part in (f"--{name}", str(run / name))]
    return ["search", "--recipe", str(recipe), *folders, "--out", str(out)]


def test_two_processes_killed_and_resumed_find_the_same_as_one_process(trained: Path, tmp_path: Path) -> None:
    inputs = {name: trained / name for name in ("prepare", "teach", "supernet")}
    alone, together = tmp_path / "alone" / "run" / "search", tmp_path / "together" / "run" / "search"
    stages.search(TINY, **inputs, out=alone, progress=quiet)
    log = together / "log-rounds.jsonl"
    command = search_command(trained, together)
    killed_when(ranks(command, free_port()), lambda: log.exists() and log.read_bytes().count(b"\n") >= 2)
    before = log.read_bytes()
    assert not json.loads((together / "stage.json").read_text())["finished"]
    again = ranks(command, free_port())
    assert [process.wait(120) for process in again] == [0, 0], [process.said() for process in again]
    for name in ("trials.jsonl", "genotype.json", "pareto.csv"):
        assert (together / name).read_bytes() == (alone / name).read_bytes()
    # The log went on where it was, so the second start replayed the rounds of the first.
    assert log.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    # Each candidate was measured by one of the two, and the first one's cache has them all, once.
    cached = [json.loads(line)["genotype"] for line in (together / "cache.jsonl").read_text().splitlines() if line]
    expected = [json.loads(line)["genotype"] for line in (alone / "cache.jsonl").read_text().splitlines()]
    assert sorted(cached) == sorted(expected)
