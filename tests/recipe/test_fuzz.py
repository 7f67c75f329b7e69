"""Recipes with something wrong in them, whatever it is: the answer is 0, or one line and 2, never a traceback.

`make test` tries a few; `SLIMGEN_FUZZ=1000 pytest tests/recipe/test_fuzz.py` tries as many of each kind.
"""

import copy
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.errors import SlimgenError
from slimgen.methods import METHODS
from slimgen.metrics.registry import METRICS
from slimgen.nets import DISCRIMINATORS, GENERATORS
from slimgen.recipe import Recipe
from slimgen.stages.fingerprint import texts
from slimgen.tasks import TASKS

EXAMPLES = int(os.environ.get("SLIMGEN_FUZZ", "0"))
QUIET: dict[str, Any] = {
    "deadline": timedelta(seconds=20),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    "derandomize": not EXAMPLES,
    "database": None,
    "print_blob": True,
}
PAIRS = """
name: fuzz
task: paired
method: gan_compression
size: 32
seed: 3
data: {direction: AtoB, validation: 2, flip: true}
budget: {macs: 1/2, convention: exact}
objective: {metric: psnr, images: 2}
compute: {threads: 1, device: cpu, precision: fp32}
losses: {gan: hinge, recon: 100, adversarial: 1}
teach:
  generator: {family: resnet, ngf: 8, blocks: 2, dropout: 0.0}
  discriminator: {family: patchgan, ndf: 8, layers: 2, norm: instance, spectral: false}
  updates: 3
  batch: 2
  betas: [0.5, 0.999]
supernet: {pipeline: fast, space: [[4, 8], [4, 8], [4, 8], [4, 8], [4, 8], [4, 8], [4, 8], [4, 8]], updates: 3}
search: {kind: evolution, population: 4, elite: 2, evaluations: 8, mutation: 0.2}
finetune: {updates: 3, batch: 2, rivals: [narrowed, random], random: 2}
evaluate: {metrics: [psnr, ssim], latency_runs: 2, pictures: 2, images: 4, threads: 1}
export: {opset: 20, parity: 1.0e-3, dynamic: true}
"""
TRELLIS = """
name: fuzz
task: paired
method: cf_gan
size: 32
budget: {macs: 1.5e6}
teach: {generator: {family: unet, ngf: 8, depth: 3}, discriminator: {family: patchgan, ndf: 8, layers: 2}, updates: 3}
supernet: {ngf: 8, groups: 2, blocks: 1, ratios: [0.25, 0.5, 0.75, 1.0], multiple: 1, updates: 3, widths: full}
search: {population: 4, elite: 2, evaluations: 12, operator_share: 0.3, order: joint}
finetune: {updates: 3}
"""
FILTERS = """
name: fuzz
task: unpaired
method: co_evolution
size: 32
budget: {params: 1/2}
teach: {generator: {family: resnet, ngf: 4, blocks: 1}, discriminator: {family: patchgan, ndf: 4}, updates: 3}
supernet: {genome: layers}
search: {population: 4, evaluations: 16, tuning: {share: 0.5, batch: 2}}
finetune: {updates: 3}
"""
CELLS = """
name: fuzz
task: unconditional
method: alphagan
size: 16
budget: {params: 3000000}
losses: {gan: hinge}
teach: {generator: {family: sngan, channels: 8, latent: 8}, discriminator: {family: sngan, channels: 8}, updates: 3}
supernet: {iterations: 1, weight_steps: 2, critic_steps: 1, bar_steps: 1, architecture_steps: 1, channels: 8}
search: {kind: gradient, random: 1}
finetune: {updates: 3, inherit: false}
evaluate: {metrics: ["fd:tiny"], features: {tiny: {path: nowhere.pt, size: 16, mean: 0.5}}}
"""
BASES = [yaml.safe_load(text) for text in (PAIRS, TRELLIS, FILTERS, CELLS)]

TEXTS = st.sampled_from(
    [
        *("", " ", "a", "resnet", "psnr", "../up", "/", "x" * 5000, "1/8", "1/0", "50%", "032", "1:04", "0x1F", "3e6"),
        *("nan", "inf", "true", "~", "é", "\N{SNOWMAN}", "\U0001f600", "a#b", "a?b", "{}", "[", "*a", "<<", "!!str"),
        *("nowhere:Net", "os:getcwd", "fd:tiny", "fd:", ":", "a b", "-", "narrowed", "halving", "random", "published"),
    ]
)
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 2, 3, 7, 8, 31, 64, 1000, 2**31, 2**32, 2**63, 10**18, -(10**18), 10**30]),
    st.sampled_from(
        [0.0, -0.0, 0.5, 1.0, 1.5, -2.5, 1e-300, 1e300, 1e308, 3e6, float("inf"), float("-inf"), float("nan")]
    ),
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.text(alphabet="abc012./ \t\n\x00\ud7ff", max_size=6))
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


WORDS = sorted(
    {
        *(value for base in BASES for value in texts(base)),
        *(*GENERATORS, *DISCRIMINATORS, *METHODS, *TASKS, *METRICS),
        *("exhaustive", "random", "halving", "evolution", "magnitude", "supernet", "joint", "coarse-to-fine", "drawn"),
        *("least-squares", "vanilla", "batch", "instance", "none", "output", "fsp", "intermediate", "full", "fast"),
        *(
            "teacher",
            "fresh",
            "narrowed_latency",
            "naive",
            "by_hand",
            "random_path",
            "channels-32",
            "channels-48-spade",
        ),
        *("discriminator", "generator", "authors", "layers", "published", "alphagan_s", "gumbel", "logits", "searched"),
    }
)


def near(value: object) -> st.SearchStrategy[Any]:
    """Another value of the same kind, which is wrong less plainly."""
    if isinstance(value, bool):
        return st.just(not value)
    if isinstance(value, int | float):
        return st.sampled_from(
            [0, 1, 2, 3, 4, 16, 100, value + 1, value - 1, -value, value * 2, value * 1000, value / 2]
        )
    if isinstance(value, str):
        return st.sampled_from(WORDS)
    if isinstance(value, list):
        return st.sampled_from([value[:1], value[::-1], value * 2, [value], []])
    return VALUES


def places(value: object, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand, at any depth."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*at, key)
        yield from places(part, (*at, key))


def known(model: type) -> list[str]:
    return list(model.model_fields)


SECTIONS = {
    name: known(field.annotation)
    for name, field in Recipe.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}


@st.composite
def wrong(draw: st.DrawFn) -> dict[str, Any]:
    """A sound recipe in which one or two things were changed."""
    recipe = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(["near"] * 6 + ["value", "value", "gone", "new", "known", "whole"]))
        if kind == "known":
            section = draw(st.sampled_from(sorted(SECTIONS)))
            if isinstance(recipe.setdefault(section, {}), dict):
                recipe[section][draw(st.sampled_from(SECTIONS[section]))] = draw(VALUES)
            continue
        if kind == "whole":
            recipe[draw(st.sampled_from(sorted(Recipe.model_fields)))] = draw(VALUES)
            continue
        *parents, last = draw(st.sampled_from(list(places(recipe)))) or ("name",)
        place: Any = recipe
        for key in parents:
            place = place[key]
        if kind in ("near", "value"):
            place[last] = draw(near(place[last]) if kind == "near" else VALUES)
        elif kind == "gone":
            del place[last]
        elif isinstance(place, dict):
            place[draw(TEXTS)] = draw(VALUES)
    return recipe


def written(recipe: dict[str, Any], as_json: bool) -> str:
    try:
        return json.dumps(recipe) if as_json else yaml.safe_dump(recipe, allow_unicode=True)
    except (TypeError, ValueError):
        return repr(recipe)


@pytest.mark.parametrize("recipe", BASES, ids=lambda recipe: recipe["method"])
def test_the_recipes_are_valid_before_a_fault_is_put_in(tmp_path: Path, recipe: dict[str, Any]) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(written(recipe, False))
    said = CliRunner().invoke(app, ["run", str(file), "--dry-run", "--out", str(tmp_path / "run")])
    assert (said.exit_code, said.stderr) == (0, "")


@settings(max_examples=EXAMPLES or 60, **QUIET)
@given(recipe=wrong(), as_json=st.booleans())
def test_a_recipe_runs_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, recipe: dict[str, Any], as_json: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    file = folder / "recipe.yaml"
    file.write_text(written(recipe, as_json), encoding="utf-8")
    said = CliRunner().invoke(app, ["run", str(file), "--dry-run", "--out", str(folder / "run")])
    assert said.exception is None or isinstance(said.exception, SystemExit), said.exc_info
    assert said.exit_code in (0, 2)
    if said.exit_code:
        assert said.stderr.startswith("error: ")
        assert said.stderr.count("\n") == 1
    assert not (folder / "run").exists()


@settings(max_examples=EXAMPLES or 200, **QUIET)
@given(text=st.one_of(st.text(max_size=60), st.text(alphabet="a:-[]{}&*!|>'\"%@`#,? \n\t01.e", max_size=40)))
def test_any_text_is_a_recipe_or_refused_in_one_line(text: str) -> None:
    with pytest.raises(SlimgenError) as caught:
        Recipe.parse(text, "x")
    assert "\n" not in str(caught.value)


@settings(max_examples=EXAMPLES or 60, **QUIET)
@given(path=st.lists(st.one_of(st.sampled_from(sorted(SECTIONS)), TEXTS), min_size=1, max_size=3), value=TEXTS)
def test_a_setting_is_taken_or_refused_in_one_line(path: list[str], value: str) -> None:
    recipe = Recipe.from_values(BASES[0])
    try:
        recipe.override([f"{'.'.join(path)}={value}"])
    except SlimgenError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most are refused, and those that are not are sound
