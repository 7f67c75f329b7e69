"""A search under a limit on milliseconds that is killed goes on with its table, to the same genotype."""

import json
import shutil
from pathlib import Path

import pytest

from slimgen import stages
from slimgen.files import GENOTYPE, LATENCY, TRIALS
from slimgen.recipe import Recipe
from tests.methods.test_co_evolution_killed import lines, search_command
from tests.processes import Command, killed_when
from tests.quiet import quiet
from townhouses import write

HERE = Path(__file__).parent
BEFORE = ("prepare", "teach", "supernet")
LIMIT = ["budget={latency_ms: 1000}", "finetune.rivals=[]", "teach.updates=2"]
SEARCHES = {
    "cf_gan": (
        HERE.parent / "stages" / "tiny.yaml",
        ["search={population: 4, elite: 2, evaluations: 30, latency_networks: 4}", "supernet.ratios=[0.5, 1.0]"],
    ),
    "co_evolution": (
        HERE / "tiny_co_evolution.yaml",
        ["search={population: 3, evaluations: 30, latency_networks: 4, tuning: {share: 1.0}}"],
    ),
}
PICTURES = {"cf_gan": {"train": 8}, "co_evolution": {"train": 6, "night": 6, "layout": "unpaired"}}


@pytest.mark.slow
@pytest.mark.parametrize("method", SEARCHES)
def test_a_killed_search_under_a_limit_resumes_with_its_table(untracked, method, tmp_path) -> None:
    file, settings = SEARCHES[method]
    recipe, images = Recipe.parse(file.read_text()).override([*settings, *LIMIT]), tmp_path / "images"
    write(images, seed=0, test=2, size=32, **PICTURES[method])
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    run = tmp_path / "run"
    stages.run(recipe, data=images, out=run, until="supernet", progress=quiet)
    search = run / "search"
    process = Command(search_command(tmp_path / "recipe.yaml", run, search))
    killed_when([process], lambda: len(lines(search / "cache.jsonl")) > 9 and not (search / GENOTYPE).exists())
    table, measured = (search / LATENCY).read_bytes(), (search / "cache.jsonl").read_bytes()
    # Twice from the same moment: another table would be another search.
    shutil.copytree(search, tmp_path / "again" / "search")
    for out in (search, tmp_path / "again" / "search"):
        stages.search(recipe, **{name: run / name for name in BEFORE}, out=out, progress=quiet)
        assert (out / "cache.jsonl").read_bytes().startswith(measured.rpartition(b"\n")[0])
        found, kept = json.loads((out / LATENCY).read_text()), json.loads(table)
        assert all(found[name] == kept[name] for name in ("conditions", "intercept_ms", "slope", "fitted"))
    for name in (GENOTYPE, TRIALS):
        assert (search / name).read_bytes() == (tmp_path / "again" / "search" / name).read_bytes()
