"""The user-defined metric of the examples: by hand, and as the objective and in the tables of a whole run."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from examples.own_metric import GMSD, gmsd
from slimgen import stages
from slimgen.metrics.registry import find
from slimgen.recipe import Recipe
from slimgen.report.table import headings, read_table
from tests.quiet import quiet
from townhouses import write

NAME = "examples.own_metric:GMSD"
TINY = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text())


def pictures(seed: int, count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_recipe_finds_it_by_its_import_path() -> None:
    assert find(NAME) is GMSD
    assert find(NAME).goal == "min"


def test_it_is_the_deviation_of_a_similarity_worked_out_pixel_by_pixel() -> None:
    fake, real = pictures(0), pictures(1)
    values = gmsd(fake, real)
    for n in range(len(fake)):
        lengths = []
        for image in (fake[n], real[n]):
            grey = ((image + 1) * 127.5).round().double().mean(0)
            half = [[float(grey[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean()) for j in range(8)] for i in range(8)]
            padded = functional.pad(torch.tensor(half, dtype=torch.float64), (1, 1, 1, 1))
            across = [[(padded[i : i + 3, j] - padded[i : i + 3, j + 2]).sum() / 3 for j in range(8)] for i in range(8)]
            down = [[(padded[i, j : j + 3] - padded[i + 2, j : j + 3]).sum() / 3 for j in range(8)] for i in range(8)]
            lengths.append(torch.hypot(torch.tensor(across), torch.tensor(down)))
        a, b = lengths
        similarity = (2 * a * b + 170) / (a**2 + b**2 + 170)
        assert float(values[n]) == pytest.approx(float(similarity.std(unbiased=False)), rel=1e-6)


def test_equal_images_have_no_distance_and_lost_edges_have_one() -> None:
    real = pictures(2)
    assert gmsd(real, real).tolist() == [0, 0, 0]
    assert (gmsd(functional.avg_pool2d(real, 5, 1, 2), real) > 0.05).all()


def test_a_search_minimises_it_and_the_table_says_that_less_is_better(tmp_path) -> None:
    write(tmp_path / "images", seed=0, train=10, test=3, size=32)
    recipe = TINY.override(
        [
            f"objective.metric={NAME}",
            f"evaluate.metrics=['{NAME}', psnr]",
            "search={population: 4, elite: 2, evaluations: 16, operator_share: 0.5}",
        ]
    )
    out = tmp_path / "run"
    stages.run(recipe, data=tmp_path / "images", out=out, until="evaluate", progress=quiet)
    trials = [json.loads(line) for line in (out / "search" / "trials.jsonl").read_text().splitlines()]
    values = [trial["quality"][NAME] for trial in trials if trial["step"] == "channel"]
    found = json.loads((out / "search" / "genotype.json").read_text())
    assert found["quality"][NAME] == min(values) < max(values)
    assert headings(read_table(out / "evaluate" / "table.json").rows, "exact")[1:3] == [f"{NAME} ↓", "PSNR ↑"]
