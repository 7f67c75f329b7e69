"""Co-evolution in processes of their own, killed amid teaching, searching and fine-tuning, ends as if left alone."""

import json
import os
from pathlib import Path

import pytest

from slimgen.recipe import Recipe
from slimgen.run.checkpoint import NAME
from tests.processes import Command, finished, free_port, killed_when, ranks
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_co_evolution.yaml").read_text()).override(
    [
        "data.load=18",
        "compute.checkpoint_seconds=0.001",
        "teach.updates=52",
        "teach.ema=0.9",
        "search.tuning={share: 1.0, batch: 1}",
        "finetune.updates=16",
        "finetune.ema=0.9",
    ]
)
OUTCOME = ("genotype.json", "trials.jsonl", "pareto.csv")
WEIGHTS = {
    "teach": ("generator", "discriminator", "reverse_generator", "reverse_discriminator"),
    "supernet": ("outputs",),
    "finetune": ("found", "found_reverse"),
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """The recipe's file, and the images beside it."""
    folder = tmp_path_factory.mktemp("recipe")
    write(folder / "images", seed=0, train=9, night=7, test=3, size=32, layout="unpaired")
    (folder / "recipe.yaml").write_text(TINY.to_yaml())
    return folder / "recipe.yaml"


def run_command(recipe: Path, run: Path) -> list[str]:
    return ["run", str(recipe), "--data", str(recipe.parent / "images"), "--out", str(run), "--until", "finetune"]


def search_command(recipe: Path, run: Path, out: Path) -> list[str]:
    folders = [part for name in ("prepare", "teach", "supernet") for part in (f"--{name}", str(run / name))]
    return ["search", "--recipe", str(recipe), *folders, "--out", str(out)]


def unfinished(stage: Path) -> bool:
    return not json.loads((stage / "stage.json").read_text())["finished"]


def lines(file: Path) -> list[bytes]:
    """The whole lines of a log."""
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


class Saved:
    """The steps of one training's checkpoints: those kept now, and all that were ever seen there."""

    def __init__(self, stage: Path, training: str) -> None:
        self.folder, self.ever = stage / "checkpoints" / training, set()

    def now(self) -> set[int]:
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        steps = {int(found["step"]) for found in map(NAME.fullmatch, names) if found}
        self.ever |= steps
        return steps


def amid_a_generation(search: Path, generations: int) -> bool:
    """So many generations are logged or more, and the next has begun but not ended: some of it are judged."""
    logged = [json.loads(line)["trials"] for line in lines(search / "log-rounds.jsonl")]
    judged = len(lines(search / "cache.jsonl"))
    return len(logged) >= generations and judged > sum(map(len, logged))


@pytest.fixture(scope="module")
def alone(recipe, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("alone") / "run"
    finished(run_command(recipe, run))
    return run


def assert_same_search(one: Path, two: Path) -> None:
    for name in OUTCOME:
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.slow
def test_a_run_killed_in_teach_search_and_finetune_ends_with_the_same_bits(recipe, alone, tmp_path):
    run = tmp_path / "run"
    command = run_command(recipe, run)
    teach, search, finetune = (run / name for name in ("teach", "search", "finetune"))

    # Later than the first line of the log, so the history of images is full and exchanges old for new.
    taught = Saved(teach, "teacher")
    killed_when([Command(command)], lambda: bool(taught.now()) and bool(lines(teach / "log-teacher.jsonl")))
    kept = max(taught.now())
    assert 0 < kept < 52
    assert unfinished(teach)
    assert not search.exists()

    again = Saved(teach, "teacher")

    def searching() -> bool:
        again.now()
        return amid_a_generation(search, 2)

    killed_when([Command(command)], searching)
    assert kept in again.ever
    assert all(step > kept for step in again.ever - taught.ever)  # it went on, and did not begin anew
    assert unfinished(search)
    rounds, judged = ((search / name).read_bytes() for name in ("log-rounds.jsonl", "cache.jsonl"))

    found = Saved(finetune, "found")
    killed_when([Command(command)], lambda: bool(found.now()))
    kept = max(found.now())
    assert 0 < kept < 16
    assert unfinished(finetune)
    assert (search / "log-rounds.jsonl").read_bytes().startswith(rounds)
    assert (search / "cache.jsonl").read_bytes().startswith(judged)

    last = Saved(finetune, "found")
    finished(command, last.now)
    assert kept in last.ever
    assert all(step > kept for step in last.ever - found.ever)
    for stage, names in WEIGHTS.items():
        for name in names:
            file = Path(stage, f"{name}.safetensors")
            assert (run / file).read_bytes() == (alone / file).read_bytes()
    assert_same_search(search, alone / "search")
    # No individual was judged twice.
    assert len(lines(search / "cache.jsonl")) == len(lines(alone / "search" / "cache.jsonl"))


def test_two_processes_killed_within_a_generation_find_the_result_of_one(recipe, alone, tmp_path):
    search = tmp_path / "run" / "search"
    command = search_command(recipe, alone, search)
    killed_when(ranks(command, free_port()), lambda: amid_a_generation(search, 2))
    assert unfinished(search)
    rounds = (search / "log-rounds.jsonl").read_bytes()
    again = ranks(command, free_port())
    assert [process.wait(120) for process in again] == [0, 0], [process.said() for process in again]
    assert_same_search(search, alone / "search")
    assert (search / "log-rounds.jsonl").read_bytes().startswith(rounds)
    judged, expected = (
        sorted(json.loads(line)["genotype"] for line in lines(folder / "cache.jsonl"))
        for folder in (search, alone / "search")
    )
    assert judged == expected
