"""What the benchmark of GAN Compression's parts compares: equal effort, and effects worked out by hand."""

from pathlib import Path

import pytest

from benchmarks.parts import (
    ALONE,
    COMBINATIONS,
    EFFECTS,
    PIPELINE,
    RECIPE,
    changed,
    collected,
    effects,
    lines,
)
from slimgen import recipe
from slimgen.methods import gan_compression
from slimgen.report.table import ORIGINAL, Table, TableRow

BASE = recipe.load(str(Path(__file__).resolve().parents[1] / RECIPE))
GOALS = {"psnr": "max", "patch_swd": "min"}


def row(name: str, psnr: float) -> TableRow:
    """Of a metric to be raised, and of its negative, to be lowered."""
    quality = {"psnr": psnr, "patch_swd": -psnr}
    return TableRow(name, quality, {"exact": 1}, 1, 4, updates=9, pictures=9, training_macs=9.0, goals=GOALS)


def table(seed: int) -> Table:
    """Fresh costs 0.5, the teacher's 0.125; distillation earns 0.25, inheritance 2; seed 1 has it all twice."""
    rows = [row(ORIGINAL, 30.0)]
    costs = {"teacher": 0.125, "fresh": 0.5, "supernet": 0.0}
    for parts in COMBINATIONS:
        gain = 0.25 * parts.distilled + 2 * parts.inherited - costs[parts.discriminator]
        rows.append(row("found" if parts == PIPELINE else parts.name, 20 + (1 + seed) * gain))
    return Table(tuple(rows), recipe="made up", seed=seed)


@pytest.mark.parametrize("parts", COMBINATIONS, ids=lambda parts: parts.name)
def test_every_combination_is_a_sound_recipe_with_as_many_updates_in_line(parts):
    chosen = changed(BASE, parts)
    gan_compression.check(chosen)
    assert chosen.finetune.inherit == parts.inherited
    assert chosen.supernet.get("distillation", "intermediate") == ("intermediate" if parts.distilled else "none")
    inherited = BASE.supernet["updates"] if parts.inherited else 0
    assert chosen.finetune.updates + inherited == BASE.supernet["updates"] + BASE.finetune.updates
    assert chosen.finetune.batch == chosen.supernet["batch"]


def test_an_effect_is_the_mean_gain_over_all_combinations_of_the_other_factors():
    found = {(one.rival, one.metric): one.gains for one in effects([table(0), table(1)])}
    for metric in GOALS:  # both gain by the same, one by rising and one by falling
        assert found["discriminator supernet, not fresh", metric] == (0.5, 1)
        assert found["discriminator teacher, not fresh", metric] == (0.375, 0.75)
        assert found["discriminator supernet, not teacher", metric] == (0.125, 0.25)
        assert found["distilled", metric] == (0.25, 0.5)
        assert found["inherited", metric] == (2, 4)


def test_the_first_six_are_the_pipeline_its_neighbours_and_the_network_from_scratch():
    first = COMBINATIONS[:6]
    assert first[:2] == [PIPELINE, ALONE]
    assert all(parts.apart == 1 for parts in first[2:])
    names = {ORIGINAL, "found", *(parts.name for parts in first)}
    part = [Table(tuple(one for one in whole.rows if one.name in names)) for whole in (table(0), table(1))]
    # Where parts add up, their effects at the pipeline are those over all combinations.
    assert [one.gains for one in effects(part)] == [one.gains for one in effects([table(0), table(1)])]
    assert len(list(effects(part))) == len(EFFECTS) * len(GOALS)
    two = [Table(tuple(one for one in whole.rows if one.name in ("found", ALONE.name))) for whole in part]
    assert not list(effects(two))


def test_the_tables_say_every_combination_every_effect_and_what_the_pipeline_gains():
    tables = [table(seed) for seed in range(2)]
    text = lines("made up", collected(tables))
    assert sum(line.startswith(("| teacher", "| supernet", "| fresh")) for line in text) == len(COMBINATIONS)
    assert ALONE.name == "fresh undistilled anew"
    assert "The pipeline against the same network from scratch: psnr +4.125 ± 1.945" in text[-1]  # 2.75 and 5.5
    assert "; patch_swd +4.125 ± 1.945" in text[-1]
    assert text[-1].endswith("no difference shown.")
