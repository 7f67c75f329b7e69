"""What CF-GAN's options and the rivals of chance leave, and that a run killed amid any of them ends the same."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from slimgen import stages
from slimgen.errors import RecipeError
from slimgen.methods import cf_gan
from slimgen.methods.cf_gan.options import SupernetOptions
from slimgen.methods.drawn import NEARLY, drawn_within
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe, section
from slimgen.search import Budget, Choice, Genotype, Space, evenly
from slimgen.stages.fingerprint import sections
from slimgen.stages.table import STAGES
from tests.processes import Command, killed_when
from tests.quiet import quiet

TINY = Recipe.parse((Path(__file__).parent / "tiny.yaml").read_text()).override(
    [
        "compute.checkpoint_seconds=0.001",
        "supernet.gamma_momentum=0.5",
        "search={population: 4, elite: 2, evaluations: 12, operator_share: 0.5, tune: 2, finalists: 3,"
        " training: {updates: 6, batch: 2}}",
        "finetune.rivals=[narrowed, narrowed_latency, random, random_path, halving]",
        "finetune.random=2",
        "evaluate.metrics=[psnr]",
    ]
)
ALONE = TINY.override(
    [
        "supernet.updates=0",
        "search={kind: halving, candidates: 9, proposed: 9}",
        "finetune.inherit=false",
        "finetune.rivals=[random]",
    ]
)
UPDATES = 8 + 6 + 4  # of supernet, path and fine-tuning


@pytest.fixture(scope="module")
def whole(untracked, images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    stages.run(TINY, data=images, out=out, until="evaluate", progress=quiet)
    return out


def named_alike(stage: Path) -> list[str]:
    """The networks that two runs have in common.

    The width of `narrowed_latency` follows from milliseconds that each of them measures for itself.
    """
    return [path.name for path in stage.glob("*.safetensors") if "_latency" not in path.name]


def networks(run: Path) -> dict:
    return json.loads((run / "finetune" / "networks.json").read_text())


def test_rivals_have_the_updates_of_all_that_led_to_the_found_one(whole: Path) -> None:
    effort = {name: about["effort"] for name, about in networks(whole).items()}
    assert list(effort) == [
        "found",
        "narrowed",
        "narrowed_latency",
        "random1",
        "random2",
        "random_path1",
        "random_path2",
        "halving",
    ]
    assert effort["found"]["updates"] == UPDATES
    # Three sub-generators at each update of supernet and path, of two pictures; and each candidate's own updates.
    trials = [json.loads(line) for line in (whole / "search" / "trials.jsonl").read_text().splitlines()]
    tuned = 2 * sum(trial["step"] in ("operator", "even", "channel") for trial in trials)
    tuned += 3 * 2 + 2 * 2  # two rungs: three finalists after two updates, two of them after two more
    # The best of them is not trained again.
    assert effort["found"]["pictures"] == 2 * (3 * 8 + 3 * 6 + tuned)
    for name in ("narrowed", "narrowed_latency", "random1", "random2", "random_path1", "random_path2"):
        assert effort[name]["updates"] == UPDATES
        cost = generator_cost(networks(whole)[name]["family"], 16, 16, **networks(whole)[name]["options"])
        assert effort[name]["training_macs"] == 3 * cost.exact * 2 * UPDATES
    assert effort["halving"]["updates"] == UPDATES
    assert effort["halving"]["pictures"] > 2 * UPDATES
    assert effort["halving"]["training_macs"] <= effort["found"]["training_macs"]


def test_rivals_as_fast_as_the_found_generator_are_kept(whole: Path) -> None:
    chosen = json.loads((whole / "finetune" / "narrowed.json").read_text())
    about = networks(whole)["narrowed_latency"]
    assert {"family": about["family"], **about["options"]} == chosen
    original = {name: value for name, value in TINY.teach.generator.items() if name != "ngf"}
    assert {name: value for name, value in chosen.items() if name != "ngf"} == original


def test_rivals_of_chance_nearly_use_the_budget_and_differ(whole: Path) -> None:
    limit = json.loads((whole / "search" / "genotype.json").read_text())["limits"]["macs"]
    about, found = networks(whole), set()
    for name in ("random1", "random2", "random_path1", "random_path2", "halving"):
        cost = generator_cost(about[name]["family"], 16, 16, **about[name]["options"])
        assert NEARLY * limit <= cost.exact <= limit
        found.add(json.dumps(about[name]["options"]))
    assert len(found) >= 4
    path = about["found"]["options"]["genotype"]["path"]
    assert {about[f"random_path{number}"]["options"]["genotype"]["path"] for number in (1, 2)} == {path}


def test_the_search_leaves_the_path_that_it_trained_on_and_its_finalists(whole: Path) -> None:
    assert (whole / "search" / "generator.safetensors").is_file()
    trials = [json.loads(line) for line in (whole / "search" / "trials.jsonl").read_text().splitlines()]
    steps = [trial["step"] for trial in trials]
    assert list(dict.fromkeys(steps)) == ["path", "operator", "even", "channel", "finalists-2", "finalists-4"]
    assert (steps.count("finalists-2"), steps.count("finalists-4")) == (3, 2)
    found = json.loads((whole / "search" / "genotype.json").read_text())
    assert found["key"] in {trial["key"] for trial in trials if trial["step"] == "finalists-4"}
    best = sorted((t for t in trials if t["step"] in ("even", "channel")), key=lambda trial: -trial["quality"]["psnr"])[
        :3
    ]
    assert {trial["key"] for trial in best} == {trial["key"] for trial in trials if trial["step"] == "finalists-2"}


def test_the_table_shows_the_effort(whole: Path) -> None:
    rows = {row["name"]: row for row in json.loads((whole / "evaluate" / "table.json").read_text())["rows"]}
    assert rows["original"]["effort"]["updates"] == 6
    assert rows["found"]["effort"] == networks(whole)["found"]["effort"]


def test_a_supernet_of_drawn_widths_keeps_its_first_channels_throughout(untracked, images, tmp_path) -> None:
    recipe = TINY.override(["supernet.widths=drawn", "search.finalists=0", "search.evaluations=2"])
    out = tmp_path / "run"
    stages.run(recipe, data=images, out=out, until="search", progress=quiet)
    assert json.loads((out / "supernet" / "updates.json").read_text())["violations"] == []
    options = section(SupernetOptions, recipe.supernet, "supernet")
    nets = {stage: Trellis(options.shape) for stage in ("supernet", "search")}
    for stage, net in nets.items():
        net.load_state_dict(load_weights(out / stage / "generator.safetensors"))
        net.sorted = True
    path = json.loads((out / "search" / "genotype.json").read_text())["genotype"]["path"]
    narrow = nets["supernet"].space.smallest().replace({"path": path})
    # The path's second training goes on with the channels as they lie, so the first of them stay alike.
    before, after = (next(net.extract(narrow).stem.parameters()).flatten() for net in nets.values())
    assert torch.nn.functional.cosine_similarity(before, after, dim=0) > 0.9


class StoppedError(Exception):
    pass


def test_a_run_that_is_stopped_amid_any_part_ends_with_the_same_bits(untracked, whole, images, tmp_path) -> None:
    run = tmp_path / "run"
    # A training is stopped at its second update; a search after a round of it is logged.
    parts = {"path": 1, "widths": 2, "channel": 1, "finalists-": 1, "random1": 2, "halving-": 1, "halving": 2}
    for part, when in parts.items():
        times = 0

        def stop(what, done, total, values, part=part, when=when):
            nonlocal times
            times += what == part or (part.endswith("-") and what.startswith(part))
            if times == when:
                raise StoppedError

        with pytest.raises(StoppedError):
            stages.run(TINY, data=images, out=run, until="finetune", progress=stop)
    stages.run(TINY, data=images, out=run, until="finetune", progress=quiet)
    for stage, files in (("search", ("genotype.json", "trials.jsonl", "generator.safetensors")), ("finetune", None)):
        names = files or named_alike(whole / stage)
        assert len(names) > 2
        for name in names:
            assert (run / stage / name).read_bytes() == (whole / stage / name).read_bytes(), name


@pytest.mark.slow
def test_a_run_that_is_killed_amid_its_rivals_ends_with_the_same_bits(untracked, whole, images, tmp_path) -> None:
    run, recipe = tmp_path / "run", tmp_path / "recipe.yaml"
    recipe.write_text(TINY.to_yaml())
    cache = run / "finetune" / "cache.jsonl"
    command = ["run", str(recipe), "--data", str(images), "--out", str(run), "--until", "finetune"]
    killed_when([Command(command)], lambda: cache.is_file() and cache.read_bytes().count(b"\n") >= 3)
    measured = cache.read_bytes()
    assert not (run / "finetune" / "networks.json").exists()
    stages.run(TINY, data=images, out=run, until="finetune", progress=quiet)
    assert cache.read_bytes().startswith(measured.rpartition(b"\n")[0])  # nothing was measured twice
    for name in named_alike(whole / "finetune"):
        assert (run / "finetune" / name).read_bytes() == (whole / "finetune" / name).read_bytes(), name


def test_halving_needs_no_supernet(untracked, images, tmp_path) -> None:
    stages.run(ALONE, data=images, out=tmp_path / "run", until="finetune", progress=quiet)
    search = tmp_path / "run" / "search"
    trials = [json.loads(line) for line in (search / "trials.jsonl").read_text().splitlines()]
    steps = [trial["step"] for trial in trials]
    first = {"parts-1": 8, "halving-1": 7, "proposed0-1": 8, "proposed8-1": 1}  # two of the parts' are of the path
    assert Counter(steps) == {**first, "halving-2": 5, "halving-3": 3, "halving-4": 2}
    quality: dict[str, list[float]] = {}
    for trial in trials:
        if trial["step"] == "parts-1":
            quality.setdefault(trial["genotype"]["path"], []).append(trial["quality"]["psnr"])
    assert {len(values) for values in quality.values()} == {2}
    best = max(quality, key=lambda path: sum(quality[path]))
    assert {trial["genotype"]["path"] for trial in trials if trial["step"] != "parts-1"} == {best}
    of_first = [t for t in trials if t["step"] in first and t["genotype"]["path"] == best]
    assert len({trial["key"] for trial in of_first}) == 9 + 9
    leading = sorted(of_first, key=lambda trial: -trial["quality"]["psnr"])[:5]
    assert {t["key"] for t in leading} == {t["key"] for t in trials if t["step"] == "halving-2"}
    about = networks(tmp_path / "run")
    effort = about["found"]["effort"]
    assert (effort["updates"], effort["pictures"]) == (4, 2 * (8 + 7 + 9 + 5 + 3 + 2))  # what won is not trained again
    found = json.loads((search / "genotype.json").read_text())
    net = build_generator(about["found"]["family"], **about["found"]["options"])
    assert found["costs"]["macs"] == generator_cost("trellis", 16, 16, **about["found"]["options"]).exact
    assert sum(weight.numel() for weight in net.parameters()) == found["costs"]["params"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["supernet.updates=8"], "supernet.updates to 0"),
        (["finetune.inherit=true"], "finetune.inherit to false"),
        (["search.tune=2"], "search.tune needs search.kind supernet"),
        (["search={kind: supernet}", "finetune.inherit=true"], "supernet.updates 0"),
        (["search.kind=supernet", "supernet.updates=8"], "search.candidates needs search.kind halving"),
        (["search.order=joint", "search.training={updates: 2}"], "search.training needs search.kind supernet"),
        (["supernet.widths=drawn"], "supernet.widths needs search.kind supernet"),
        (["finetune.updates=0"], "finetune.updates 0"),
        (["search={kind: supernet, finalists: 1}", "supernet.updates=8"], "finalists must be 0 or at least 2"),
        (["search={kind: supernet, finalists: 2}", "supernet.updates=8", "finetune.updates=0"], "finetune.updates 0"),
    ],
)
def test_options_without_effect_are_refused(settings, said) -> None:
    with pytest.raises(RecipeError, match=said):
        cf_gan.check(ALONE.override(settings))


def test_a_large_even_genotype_is_allowed_and_none_of_its_choices_can_grow() -> None:
    space = Space({name: Choice((1, 2, 3, 4)) for name in "abc"})

    def allows(genotype: Genotype) -> bool:
        return genotype["a"] * 1 + genotype["b"] * 2 + genotype["c"] * 3 <= 14

    at = evenly(space, allows)
    assert (at["a"], at["b"], at["c"]) == (4, 2, 2)
    assert evenly(space, lambda genotype: True) == space.largest()
    assert evenly(space, lambda genotype: False) == space.smallest()


def test_random_genotypes_of_a_rare_budget_nearly_use_it() -> None:
    space = Space({f"w{number}": Choice(tuple(range(1, 9))) for number in range(12)})

    def costs(genotype: Genotype) -> dict[str, float]:
        return {"macs": float(sum(genotype.values()))}

    drawn = drawn_within(space, costs, Budget(macs=20), 6, "seed")
    assert len(set(drawn)) == 6
    assert all(NEARLY * 20 <= costs(genotype)["macs"] <= 20 for genotype in drawn)
    assert drawn == drawn_within(space, costs, Budget(macs=20), 6, "seed")
    common = drawn_within(space, costs, Budget(macs=60), 50, "seed")
    assert all(NEARLY * 60 <= costs(genotype)["macs"] <= 60 for genotype in common)


def test_a_latency_limit_holds_for_the_found_generator_and_its_random_rivals(
    untracked, whole, images, tmp_path
) -> None:
    timed = TINY.override(
        [
            "budget={latency_ms: 1000}",
            "supernet.ratios=[0.5, 1.0]",
            "search={population: 4, elite: 2, evaluations: 8, latency_networks: 4}",
            "finetune.rivals=[random]",
            "finetune.random=1",
        ]
    )
    run = tmp_path / "run"
    stages.run(timed, data=images, out=run, until="finetune", progress=quiet)
    facts = json.loads((run / "search" / "stage.json").read_text())["metrics"]
    assert facts["latency_error_median"] >= 0
    assert 0 < facts["latency_measured_ms"] < 1000
    trials = [json.loads(line) for line in (run / "search" / "trials.jsonl").read_text().splitlines()]
    assert all(0 < trial["costs"]["latency_ms"] < 1000 for trial in trials)
    assert "random1" in networks(run)


def test_a_search_depends_only_on_the_fine_tuning_settings_that_train_candidates() -> None:
    search = STAGES["search"]

    def parts(*settings: str) -> set[str]:
        return {name for name in sections(search, TINY.override([*settings])) if name.startswith("finetune")}

    short = {"finetune.batch", "finetune.rate", "finetune.discriminator_rate", "finetune.betas"}
    whole = {*short, *(f"finetune.{name}" for name in ("decay", "updates", "epochs", "ema", "generator_steps"))}
    assert parts() == {*whole, "finetune.inherit", "finetune.discriminator"}  # of its finalists
    assert parts("search={tune: 2}") == short
    assert parts("search.tune=0", "search={evaluations: 12}") == set()
    assert parts("search={kind: halving}") == whole
    assert parts("method=gan_compression", "search={kind: evolution}", "supernet={updates: 1}") == set()
    assert "finetune.updates" in parts("method=gan_compression", "search={kind: halving}")
