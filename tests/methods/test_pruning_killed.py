"""Pruning in processes of their own, killed amid searching and fine-tuning, ends as if left alone."""

from pathlib import Path

import pytest

from slimgen import stages
from slimgen.recipe import Recipe
from tests.methods.test_co_evolution_killed import Saved, amid_a_generation, lines, unfinished
from tests.processes import Command, finished, killed_when
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_pruning.yaml").read_text()).override(
    [
        "compute.checkpoint_seconds=0.001",
        "search={population: 4, evaluations: 24, tune: 2}",
        "finetune.updates=24",
        "finetune.rivals=[magnitude]",
    ]
)
UPDATES = 24
OUTCOME = {
    "search": ("genotype.json", "trials.jsonl", "pareto.csv"),
    "finetune": ("found.safetensors", "magnitude.safetensors"),
}


@pytest.mark.slow
def test_a_pruning_killed_in_search_and_in_finetune_ends_with_the_same_bits(untracked, tmp_path) -> None:
    write(tmp_path / "images", seed=0, train=9, test=3, size=32, layout="paired")
    (tmp_path / "recipe.yaml").write_text(TINY.to_yaml())
    alone, run = tmp_path / "alone" / "run", tmp_path / "killed" / "run"
    stages.run(TINY, data=tmp_path / "images", out=alone, until="finetune", progress=quiet)
    command = ["run", str(tmp_path / "recipe.yaml"), "--data", str(tmp_path / "images"), "--out", str(run)]
    command += ["--until", "finetune"]
    search, finetune = run / "search", run / "finetune"

    killed_when([Command(command)], lambda: amid_a_generation(search, 1))
    assert unfinished(search)
    rounds, judged = ((search / name).read_bytes() for name in ("log-rounds.jsonl", "cache.jsonl"))

    found = Saved(finetune, "found")
    killed_when([Command(command)], lambda: bool(found.now()))
    kept = max(found.now())
    assert 0 < kept < UPDATES
    assert unfinished(finetune)
    # The search went on where it was, and judged no candidate twice.
    assert (search / "log-rounds.jsonl").read_bytes().startswith(rounds)
    assert (search / "cache.jsonl").read_bytes().startswith(judged)
    assert len(lines(search / "cache.jsonl")) == len(lines(alone / "search" / "cache.jsonl"))

    last = Saved(finetune, "found")
    finished(command, last.now)
    assert kept in last.ever
    assert all(step > kept for step in last.ever - found.ever)  # it went on, and did not begin anew
    for stage, names in OUTCOME.items():
        for name in names:
            assert (run / stage / name).read_bytes() == (alone / stage / name).read_bytes(), (stage, name)
