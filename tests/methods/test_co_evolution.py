"""Co-evolution from originals to two small generators: its formulas, what it keeps, its ablations, and resuming."""

import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from slimgen import stages
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.errors import BudgetError, RecipeError, SlimgenError
from slimgen.methods.co_evolution import check, preview, search, without_effect
from slimgen.methods.co_evolution.drawing import picture_filters, strips
from slimgen.methods.co_evolution.fitness import Fitness, fitness, outputs, sides
from slimgen.methods.co_evolution.options import SearchOptions, Tuning
from slimgen.methods.co_evolution.ranked import ranking
from slimgen.metrics.psnr import psnr
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe, load, section
from slimgen.search import Genotype
from slimgen.stages.fingerprint import named_files
from slimgen.stages.table import STAGES as TABLE
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from tests.quiet import quiet
from tests.restamped import begun_stage
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_co_evolution.yaml").read_text())
TUNING = "search.tuning={updates: 20, batch: 2, rate: 0.005}"
BRIEF = "search={population: 2, evaluations: 4, tuning: {updates: 1, batch: 1}}"
ODDS = ("search.selection=0.1", "search.crossover=0.1")
EXAMPLES = Path(__file__).parents[2] / "examples"
CPU = Compute(torch.device("cpu"))


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, train=9, night=7, test=3, size=32, layout="unpaired")
    return folder


@pytest.fixture(scope="module")
def begun(images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    stages.run(TINY, data=images, out=out, until="supernet", progress=quiet)
    return out


def folders(begun: Path, *names: str) -> dict[str, Path]:
    return {name: begun / name for name in ("prepare", "teach", "supernet", *names)}


def job(begun: Path, recipe: Recipe, out: Path) -> Job:
    task = open_task(recipe, CPU)
    return Job(recipe, CPU, task, Prepared.open(begun / "prepare"), folders(begun), out, lambda name: None, quiet)


def judge(begun: Path, out: Path, settings: list[str] | None = None) -> Fitness:
    recipe = TINY.override(settings or [])
    work = job(begun, recipe, out)
    return Fitness(work, sides(work), section(SearchOptions, recipe.search, "search"))


def pair_of(found: Fitness, turn: str, rng_seed: int = 0) -> Genotype:
    rng = random.Random(rng_seed)
    a, b = (found.sides[name].filters.space.sample(rng) for name in "ab")
    return Genotype({"turn": turn}) | a.prefixed("a") | b.prefixed("b")


def test_the_fitness_is_the_inverse_of_share_and_weighted_losses():
    assert fitness(0.25, 7, 0.5, 0.125, SearchOptions()) == 1 / (0.25 + 10 * (0.5 + 10 * 0.125))
    assert fitness(0.25, 7, 0.5, 0.125, SearchOptions(loss=2, cycle=4)) == 1 / (0.25 + 2 * (0.5 + 4 * 0.125))


def test_the_authors_fitness_counts_removed_filters_and_one_score_an_image(begun, tmp_path):
    authors = SearchOptions(fitness="authors", cycle=4)
    assert fitness(0.25, 7, 0.5, 0.125, authors) == 500 / (0.5 + 4 * 0.125) + 0.007
    found = judge(begun, tmp_path, ["search.fitness=authors"])
    pair = pair_of(found, "a")
    side, real = found.sides["a"], whole(Prepared.open(begun / "prepare").split("val")).input
    small = side.filters.cut(pair.under("a"))
    with torch.no_grad():
        scores = [side.gan.discriminator(net(real)).mean((1, 2, 3)) for net in (side.gan.generator, small)]
    assert found.quality(pair)["distance"] == pytest.approx(float((scores[0] - scores[1]).square().mean()), rel=1e-4)
    with pytest.raises(RecipeError, match=r"search\.loss needs search\.fitness paper"):
        check(TINY.override(["search.fitness=authors", "search.loss=2"]))


@pytest.mark.parametrize("turn", ["a", "b"])
@pytest.mark.parametrize("criterion", ["discriminator", "generator"])
def test_the_fitness_of_a_pair_equals_that_of_zeroed_filters(begun, tmp_path, turn, criterion):
    found = judge(begun, tmp_path, [f"search.criterion={criterion}"])
    pair = pair_of(found, turn)
    mine, other = found.sides[turn], found.sides["b" if turn == "a" else "a"]
    val = whole(Prepared.open(begun / "prepare").split("val"))
    real = val.input if turn == "a" else val.target
    small = mine.filters.masked(pair.under(turn))
    partner = other.filters.masked(pair.under("b" if turn == "a" else "a"))
    with torch.no_grad():
        wanted, fake = mine.gan.generator(real), small(real)
        seen = [mine.gan.discriminator(each) if criterion == "discriminator" else each for each in (wanted, fake)]
        distance = float((seen[0] - seen[1]).square().mean())
        cycle = float((partner(fake) - real).square().mean())
        decibels = float(psnr(fake, wanted).mean())
    quality = found.quality(pair)
    assert quality["distance"] == pytest.approx(distance, rel=1e-4)
    assert quality["cycle"] == pytest.approx(cycle, rel=1e-4)
    assert quality["psnr"] == pytest.approx(decibels, abs=0.05)
    share = mine.filters.share(pair.under(turn))
    assert quality["fitness"] == pytest.approx(1 / (share + 10 * (distance + 10 * cycle)), rel=1e-4)


def test_the_whole_original_has_distance_zero_and_share_one(begun, tmp_path):
    found = judge(begun, tmp_path)
    whole_pair = Genotype({"turn": "a"})
    for name, side in found.sides.items():
        whole_pair = whole_pair | side.filters.space.largest().prefixed(name)
    quality = found.quality(whole_pair)
    assert quality["distance"] == 0
    assert quality["share"] == 1
    assert quality["fitness"] == pytest.approx(1 / (1 + 100 * quality["cycle"]))


def test_the_supernet_stage_stores_the_originals_outputs_and_scores(begun, tmp_path):
    work = job(begun, TINY, tmp_path)
    kept = load_weights(begun / "supernet" / "outputs.safetensors")
    again = outputs(work, sides(work))
    assert set(kept) == {"a.images", "a.scores", "b.images", "b.scores"}
    assert all(torch.equal(kept[name], again[name]) for name in again)
    val = whole(work.data.split("val"))
    task = work.task
    back = task.reverse(begun / "teach")
    with torch.no_grad():
        torch.testing.assert_close(kept["a.images"], task.original(begun / "teach")(val.input))
        torch.testing.assert_close(kept["b.scores"], back.discriminator(back.generator(val.target)))
    said = json.loads((begun / "supernet" / "stage.json").read_text())["metrics"]
    assert said == {"updates": 0, "bits": 4 + 8 + 16 + 2 * 16 + 8 + 4, "filters": 4 + 8 + 16 * 5 + 8 + 4}


def searched(begun: Path, out: Path, settings: list[str]) -> list[dict]:
    stages.search(TINY.override(settings), **folders(begun), out=out / "search", progress=quiet)
    return [json.loads(line) for line in (out / "search" / "trials.jsonl").read_text().splitlines()]


def test_both_found_generators_are_within_the_budget_and_the_outcome_is_the_last_pair(begun, tmp_path):
    trials = searched(begun, tmp_path, [])
    limit = generator_cost("resnet", 16, 16, ngf=4, blocks=2).params / 3
    assert all(trial["costs"]["params"] <= limit for trial in trials)
    assert [trial["step"] for trial in trials[-2:]] == ["forward", "reverse"]
    found = json.loads((tmp_path / "search" / "genotype.json").read_text())
    assert found["genotype"] == trials[-2]["genotype"]
    assert {**found["genotype"], "turn": "b"} == trials[-1]["genotype"]
    # The paper's order: the first generation beside the whole original, all others beside what evolved.
    partners = [
        {name: mask for name, mask in trial["genotype"].items() if name.startswith("b.")}
        for trial in trials
        if trial["step"] == "forward"
    ]
    assert all("0" not in mask for mask in partners[0].values())
    assert any("0" in mask for mask in partners[-1].values())


class KilledError(Exception):
    """Stands for the signal."""


def test_a_search_killed_between_generations_ends_like_an_uninterrupted_one(begun, tmp_path, monkeypatch):
    alone = searched(begun, tmp_path / "one" / "alone", [])
    quality = Fitness.quality
    for allowed in (2, 3, 5):
        left = iter(range(allowed))

        def dying(self, pair, left=left):
            if next(left, None) is None:
                raise KilledError
            return quality(self, pair)

        monkeypatch.setattr(Fitness, "quality", dying)
        with pytest.raises(KilledError):
            searched(begun, tmp_path / "two" / "killed", [])
    monkeypatch.setattr(Fitness, "quality", quality)
    again = searched(begun, tmp_path / "two" / "killed", [])
    assert again == alone
    for name in ("genotype.json", "trials.jsonl", "pareto.csv"):
        files = [tmp_path / way / "search" / name for way in ("one/alone", "two/killed")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_measured_pair_is_not_measured_again(begun, tmp_path, monkeypatch):
    searched(begun, tmp_path, [])
    kept = begun_stage("search", TINY, folders(begun), tmp_path / "again" / "search")
    shutil.copy(tmp_path / "search" / "cache.jsonl", kept / "cache.jsonl")
    monkeypatch.setattr(Fitness, "quality", lambda self, pair: pytest.fail("judged twice"))
    monkeypatch.setattr("slimgen.stages.perform.take_over", lambda folder: None)
    assert searched(begun, tmp_path / "again", []) == [
        json.loads(line) for line in (tmp_path / "search" / "trials.jsonl").read_text().splitlines()
    ]


def test_evolved_apart_every_candidate_has_the_whole_original_as_partner(begun, tmp_path):
    trials = searched(begun, tmp_path, ["search.together=false"])
    for trial in trials[:-2]:
        other = "b." if trial["genotype"]["turn"] == "a" else "a."
        assert all("0" not in mask for name, mask in trial["genotype"].items() if name.startswith(other))


def test_magnitude_keeps_as_much_of_every_layer_as_the_budget_allows(begun, tmp_path):
    trials = searched(begun, tmp_path, ["search.kind=magnitude"])
    assert len(trials) == 2
    limit = generator_cost("resnet", 16, 16, ngf=4, blocks=2).params / 3
    assert 0.5 * limit < trials[0]["costs"]["params"] <= limit
    shares = {
        mask.count("1") / len(mask) for name, mask in trials[0]["genotype"].items() if name.startswith("a.filter")
    }
    assert max(shares) - min(shares) <= 0.25  # one filter of the four at the ends


def test_the_length_of_tuning_is_updates_or_a_share_of_the_images():
    assert Tuning().steps(9) == 40
    assert (Tuning(share=0.1, batch=1).steps(1000), Tuning(share=0.1).steps(1000), Tuning(share=0.1).steps(3)) == (
        100,
        25,
        1,
    )
    with pytest.raises(ValueError, match="leave one of them out"):
        Tuning(share=0.1, updates=3)
    assert SearchOptions().tuning == Tuning()
    assert section(SearchOptions, TINY.override(["search.tuning=null"]).search, "search").tuning is None


def test_tuned_candidates_have_a_smaller_cycle_loss_and_the_originals_stay_unchanged(begun, tmp_path):
    plain = judge(begun, tmp_path / "plain")
    tuned = judge(begun, tmp_path / "tuned", [TUNING, "losses.adversarial=1e-6", "losses.identity=0"])
    before = {name: load_weights(begun / "teach" / f"{name}.safetensors") for name in ("generator", "discriminator")}
    train = whole(Prepared.open(begun / "prepare").split("train"))
    for turn, other, real, like in (("a", "b", train.input, train.target), ("b", "a", train.target, train.input)):
        pair = pair_of(plain, turn)
        partner = tuned._partner(other, pair.under(other))
        nets = plain.sides[turn].filters.cut(pair.under(turn)), tuned._tuned(turn, pair.under(turn), partner)
        with torch.no_grad():
            lost = [
                float((partner(net(real)) - real).abs().mean() + (net(partner(like)) - like).abs().mean())
                for net in nets
            ]
        assert lost[1] < 0.95 * lost[0]
        found = tuned.quality(pair)
        assert found == tuned.quality(pair) != plain.quality(pair)
        assert found["share"] == plain.quality(pair)["share"]
    for name, weights in before.items():
        now = getattr(tuned.sides["a"].gan, name).state_dict()
        assert all(torch.equal(weight, now[key]) for key, weight in weights.items())


def test_a_pruned_partner_is_tuned_once_beside_the_whole_original_of_the_other_direction(begun, tmp_path, monkeypatch):
    tuned = judge(begun, tmp_path / "one", [TUNING])
    pairs = [pair_of(tuned, "a", seed) for seed in (0, 1)]
    pairs[1] = Genotype({**pairs[1], **{name: pairs[0][name] for name in pairs[0] if name.startswith("b.")}})
    trainings, train = [], Fitness._tuned

    def watched(self, turn, own, partner):
        trainings.append((turn, own))
        return train(self, turn, own, partner)

    monkeypatch.setattr(Fitness, "_tuned", watched)
    qualities = [tuned.quality(pair) for pair in pairs]
    assert trainings == [("b", pairs[0].under("b")), *(("a", pair.under("a")) for pair in pairs)]
    # Another process, or a search that resumes there, need not have judged the pair before.
    assert judge(begun, tmp_path / "two", [TUNING]).quality(pairs[1]) == qualities[1]
    # The whole original is trained already.
    whole_partner = tuned._partner("b", tuned.sides["b"].filters.space.largest())
    expected = tuned.sides["b"].gan.generator.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in whole_partner.state_dict().items())
    partner, cut = tuned._partner("b", pairs[0].under("b")), tuned.sides["b"].filters.cut(pairs[0].under("b"))
    assert any(not torch.equal(weight, partner.state_dict()[name]) for name, weight in cut.state_dict().items())


def finetuned(begun: Path, out: Path, settings: list[str], search: Path | None = None) -> dict[str, dict]:
    recipe = TINY.override(settings)
    inputs = {**folders(begun), "search": search or out / "search"}
    if search is None:
        stages.search(recipe, **folders(begun), out=out / "search", progress=quiet)
    stages.finetune(recipe, **inputs, out=out / "finetune", progress=quiet)
    return json.loads((out / "finetune" / "networks.json").read_text())


def test_without_fine_tuning_both_generators_are_pruned_originals(begun, tmp_path):
    about = finetuned(begun, tmp_path, ["finetune.updates=0"])
    genotype = Genotype.from_json(json.loads((tmp_path / "search" / "genotype.json").read_text())["genotype"])
    for (name, turn), side in zip(
        (("found", "a"), ("found_reverse", "b")), sides(job(begun, TINY, tmp_path)).values(), strict=True
    ):
        left = load_weights(tmp_path / "finetune" / f"{name}.safetensors")
        cut = side.filters.cut(genotype.under(turn)).state_dict()
        assert all(torch.equal(weight, left[key]) for key, weight in cut.items())
        net = build_generator(about[name]["family"], **about[name]["options"])
        net.load_state_dict(left)


def test_both_pruned_generators_are_fine_tuned_together(begun, tmp_path):
    finetuned(begun, tmp_path / "cut", ["finetune.updates=0"])
    search = tmp_path / "cut" / "search"
    finetuned(begun, tmp_path / "long", ["finetune.updates=2"], search)
    finetuned(begun, tmp_path / "anew", ["finetune.updates=2", "finetune.inherit=false"], search)
    for name in ("found", "found_reverse"):
        cut, trained, anew = (
            load_weights(tmp_path / way / "finetune" / f"{name}.safetensors") for way in ("cut", "long", "anew")
        )
        moved = max(float((trained[key] - weight).abs().max()) for key, weight in cut.items())
        assert 0 < moved < 0.01  # two steps of Adam, 2e-4 each at the most
        assert max(float((anew[key] - weight).abs().max()) for key, weight in cut.items()) > 0.01


def test_the_narrowed_rivals_are_a_cyclegan_trained_as_long_as_the_original_and_fine_tuning(begun, tmp_path):
    about = finetuned(begun, tmp_path, ["finetune.rivals=[narrowed]"])
    logged = json.loads((tmp_path / "finetune" / "log-narrowed.jsonl").read_text().splitlines()[-1])
    assert {"generator.cycle", "generator.reverse_cycle"} <= logged.keys()
    for way in ("", "_reverse"):
        assert about[f"narrowed{way}"]["updates"] == 3 + 2
        found, rival = (
            generator_cost("resnet", 16, 16, **about[f"{name}{way}"]["options"]) for name in ("found", "narrowed")
        )
        assert rival.exact >= found.exact


def test_rivals_are_cut_from_the_same_originals_no_larger_and_trained_alike(begun, tmp_path, monkeypatch):
    trained = {}
    monkeypatch.setattr(
        "slimgen.methods.co_evolution.train_pair",
        lambda job, name, gans, steps: trained.update({name: steps}) or [gan.generator.eval() for gan in gans],
    )
    about = finetuned(begun, tmp_path, ["finetune.rivals=[magnitude, greedy, random]", "finetune.random=2"])
    names = ("found", "magnitude", "greedy", "random1", "random2")
    assert trained == dict.fromkeys(names, 2)
    assert set(about) == {f"{name}{way}" for name in names for way in ("", "_reverse")}
    originals = sides(job(begun, TINY, tmp_path))
    for way, turn in (("", "a"), ("_reverse", "b")):
        whole_weights = originals[turn].gan.generator.state_dict()["model.1.weight"]
        nets = {name: load_weights(tmp_path / "finetune" / f"{name}{way}.safetensors") for name in names}
        sizes = {name: sum(weight.numel() for weight in net.values()) for name, net in nets.items()}
        assert all(0.7 * sizes["found"] < size <= sizes["found"] for size in sizes.values())
        for net in nets.values():  # its filters are the original's
            assert all(any(torch.equal(one, other) for other in whole_weights) for one in net["model.1.weight"])
    assert about["random1"]["options"] != about["random2"]["options"]
    efforts = [about[name]["effort"] for name in names]
    assert len({effort["updates"] for effort in efforts}) == 1
    assert (tmp_path / "finetune" / "filters.png").is_file()


def test_the_picture_of_the_first_layer_frames_the_filters_that_stay(begun, tmp_path):
    side = sides(job(begun, TINY, tmp_path))["a"]
    kept = Genotype({**side.filters.space.largest(), "filter.model-1": "0101"})
    greedy = Genotype({**side.filters.space.largest(), "filter.model-1": "1000"})
    weights = side.gan.generator.state_dict()["model.1.weight"]
    rows = strips("forward", side.filters, {"kept": kept, "kept by ThiNet": greedy}, side.filters.cut(kept))
    assert [row.title for row in rows] == ["forward, kept", "forward, fine-tuned", "forward, kept by ThiNet"]
    assert [list(row.framed) for row in rows] == [
        [False, True, False, True],
        [False] * 4,
        [True, False, False, False],
    ]
    assert all(torch.equal(one, other) for one, other in zip(rows[0].filters, weights, strict=True))
    assert rows[1].filters[0] is rows[1].filters[2] is None  # nothing was trained before: what stayed is in its place
    assert all(torch.equal(rows[1].filters[place], weights[place]) for place in (1, 3))
    picture_filters(rows, tmp_path / "filters.png")
    with Image.open(tmp_path / "filters.png") as picture:
        reddish = (np.asarray(picture.convert("RGB")) == (0xC9, 0x2A, 0x2A)).all(2)
    assert reddish.any()
    assert not reddish[reddish.shape[0] // 3 + 8 : 2 * reddish.shape[0] // 3 - 8].any()


def test_settings_of_breeding_are_refused_or_told_where_nothing_breeds():
    ranked = TINY.override(["search.kind=greedy", "search.pressure=rank"])
    assert without_effect(ranked) == ("search.population", "search.evaluations", "search.pressure")
    assert without_effect(TINY) == ()
    for key in ("pressure: rank", "start: layers", "tuning: null"):
        with pytest.raises(RecipeError, match=f"search.{key.split(':')[0]} needs another search.kind than halving"):
            check(TINY.override([f"search={{kind: halving, {key}}}"]))
    for rival in ("halving", "random_path"):
        with pytest.raises(RecipeError, match="choose from magnitude, greedy, random, narrowed"):
            check(TINY.override([f"finetune.rivals=[{rival}]"]))
    check(TINY.override(["finetune.rivals=[magnitude, greedy, random, narrowed]"]))


def test_a_preview_counts_tuned_candidates_and_champions():
    options = ["search.evaluations=24", "search.tuning={updates: 3, batch: 2}"]
    assert preview(TINY.override(options)).learned(9) == 3 * 2 * (24 + 2 * 2 + 4) // 2
    assert preview(TINY.override([*options, "search.together=false"])).learned(9) == 3 * 2 * (24 + 4) // 2
    assert preview(TINY).learned(9) == 0


def test_the_greedy_way_keeps_what_the_next_layers_miss_most(begun, tmp_path):
    trials = searched(begun, tmp_path, ["search.kind=greedy"])
    work = job(begun, TINY, tmp_path)
    assert len(trials) == 2
    masks = Genotype(trials[0]["genotype"])
    assert trials[0]["costs"]["params"] <= generator_cost("resnet", 16, 16, ngf=4, blocks=2).params / 3
    differ = []
    for turn, side in sides(work).items():
        order = ranking(work, turn, side, "greedy")
        for name, mask in masks.under(turn).items():
            kept = mask.count("1")
            assert {place for place, bit in enumerate(mask) if bit == "1"} == set(order[name][:kept])
        differ.append(masks.under(turn) != side.filters.first(0.5, side.filters.ranked()))
    assert any(differ)


def test_the_found_pair_s_sum_over_both_directions_is_that_of_equation_8(begun, tmp_path):
    trials = searched(begun, tmp_path, [])
    last = [trial["quality"] for trial in trials[-2:]]
    expected = sum(one["share"] + 10 * (one["distance"] + 10 * one["cycle"]) for one in last)
    facts = json.loads((tmp_path / "search" / "stage.json").read_text())["metrics"]
    assert facts["sum_of_directions"] == pytest.approx(expected)
    assert expected == pytest.approx(sum(1 / one["fitness"] for one in last))


def test_the_pair_of_the_least_sum_is_found_among_those_of_all_iterations(begun, tmp_path, monkeypatch):
    def quality(self, pair):
        """Better with more filters in this direction, but worse with more in the other, so that the sum differs."""
        own, other = (str(pair.under(turn)).count("1") for turn in (pair["turn"], "b" if pair["turn"] == "a" else "a"))
        terms = {"share": 0.25, "distance": 40 / own, "cycle": 0.01 * random.Random(other).random()}
        return {"fitness": fitness(0.25, 0, terms["distance"], terms["cycle"], SearchOptions()), **terms, "psnr": 1.0}

    monkeypatch.setattr(Fitness, "quality", quality)
    sums, courses = {}, {}
    for outcome in ("last", "sum"):
        trials = searched(begun, tmp_path / outcome, [f"search.outcome={outcome}", "search.mutation=0.8", *ODDS])
        facts = json.loads((tmp_path / outcome / "search" / "stage.json").read_text())["metrics"]
        sums[outcome], known = facts["sum_of_directions"], {}
        for trial in trials:
            known[Genotype(trial["genotype"])] = 1 / trial["quality"]["fitness"]
        pairs = [(pair, Genotype({**pair, "turn": "b"})) for pair in known if pair["turn"] == "a"]
        courses[outcome] = [known[one] + known[two] for one, two in pairs if two in known]
    assert sums["sum"] <= sums["last"]
    assert sums["sum"] == pytest.approx(min(courses["sum"]))
    with pytest.raises(RecipeError, match=r"search\.outcome needs no limit budget\.latency_ms"):
        check(TINY.override(["search.outcome=sum", "budget.latency_ms=1"]))


def test_tuning_counts_as_the_found_generators_effort(begun, tmp_path):
    searched(begun, tmp_path, ["search.tuning={updates: 1, batch: 2}", "search.evaluations=8"])
    facts = json.loads((tmp_path / "search" / "stage.json").read_text())["metrics"]
    tuned = 8 + 2 + 2 + 1  # candidates, the last pair and its partners, and the first partner of a generation
    assert tuned - 2 <= facts["pictures"] / 2 <= tuned
    assert facts["updates"] == 0


def test_the_last_pair_is_a_round_of_its_own(begun, tmp_path):
    found = search(job(begun, TINY, tmp_path))
    *before, forth, back = found.trials
    assert forth.round == back.round == 1 + max(trial.round for trial in before)


def test_a_candidate_that_diverged_is_never_found(begun, tmp_path):
    pair = pair_of(judge(begun, tmp_path), "a")
    broken = judge(begun, tmp_path / "broken")
    with torch.no_grad():
        for weight in broken.sides["a"].gan.generator.parameters():
            weight.fill_(torch.nan)
    assert math.isnan(broken.quality(pair)["fitness"])


def test_edited_code_of_a_user_defined_network_is_computed_again(images, tmp_path, monkeypatch):
    code = (EXAMPLES / "own_generator.py").read_text()
    (tmp_path / "edited_generator.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = TINY.override(["teach.generator={family: 'edited_generator:Squeezer', hidden: 8, blocks: 1}"])
    before = [named_files(TABLE[name], recipe) for name in ("prepare", "teach", "evaluate")]
    (tmp_path / "edited_generator.py").write_text(f"{code}\n# edited\n")
    assert [named_files(TABLE[name], recipe) for name in ("prepare", "teach", "evaluate")] == before
    (tmp_path / "edited_generator.py").write_text(f"{code}\nEDITED = True\n")
    after = [named_files(TABLE[name], recipe) for name in ("prepare", "teach", "evaluate")]
    assert before[0] == after[0] == {}
    assert before[1] != after[1]
    assert before[2] != after[2]


def test_the_authors_genome_runs_too(begun, tmp_path):
    recipe = TINY.override(["supernet.genome=authors", "search.evaluations=8", "finetune.updates=0"])
    taught = {name: begun / name for name in ("prepare", "teach")}
    said = stages.supernet(recipe, **taught, out=tmp_path / "supernet", progress=quiet)
    assert said["bits"] == 4 + 8 + 16 + 8 + 4
    stages.search(recipe, **taught, supernet=tmp_path / "supernet", out=tmp_path / "search", progress=quiet)
    found = json.loads((tmp_path / "search" / "genotype.json").read_text())["genotype"]
    assert len(found) == 1 + 2 * 5


def test_a_user_defined_network_is_compressed_from_images_to_onnx(images, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    own = "teach.generator={family: 'own_generator:Squeezer', hidden: 8, blocks: 1}"
    recipe = TINY.override([own, "search.evaluations=16", "data.direction=BtoA"])
    stages.run(recipe, data=images, out=tmp_path, progress=quiet)
    assert "<h2>Filters of the first layer</h2>" in (tmp_path / "evaluate" / "report.html").read_text()
    rows = {row["name"]: row for row in json.loads((tmp_path / "evaluate" / "table.json").read_text())["rows"]}
    assert rows["found"]["params"] <= rows["original"]["params"] / 3
    assert rows["found"]["params"] == sum(
        weight.numel()
        for name, weight in load_weights(tmp_path / "finetune" / "found.safetensors").items()
        if "running" not in name and "num_batches" not in name
    )
    assert (tmp_path / "export" / "generator.onnx").is_file()
    forth, back = (np.array(Image.open(tmp_path / "evaluate" / f"grid{way}.png")) for way in ("", "_reverse"))
    # The way back is shown what the way there should make, in the other order; both have original and found.
    assert forth.shape == back.shape
    columns = [slice(12 + place * 134, 140 + place * 134) for place in range(4)]
    assert np.array_equal(forth[42:-12, columns[0]], back[42:-12, columns[1]])
    assert np.array_equal(forth[42:-12, columns[1]], back[42:-12, columns[0]])
    assert not np.array_equal(forth[42:-12, columns[3]], back[42:-12, columns[3]])
    assert "in the reverse direction" in (tmp_path / "evaluate" / "report.html").read_text()


def test_the_example_recipe_of_a_user_defined_network_is_sound(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    check(load(str(EXAMPLES / "own_generator.yaml")))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (["task=paired"], RecipeError, "both directions of a CycleGAN"),
        (["objective.metric=fid"], RecipeError, "must be a metric of single images"),
        (["budget={params: 10}"], BudgetError, "smallest network"),
        (["search.selection=0.5"], RecipeError, "sum to 1"),
        (["search.populaton=5"], RecipeError, "did you mean 'population'"),
        (["search.kind=magnitude", "budget={}"], RecipeError, "magnitude needs a budget"),
        (["teach.generator={family: trellis}"], RecipeError, "a generator family with an option widths"),
        (["teach.generator_checkpoint=x.pth"], RecipeError, "teach.reverse_generator_checkpoint"),
        (["finetune.generator_steps=2"], RecipeError, "in turns, so finetune.generator_steps must be 1"),
        (["losses.adversarial=0"], RecipeError, "needs an adversarial loss"),
        (["teach.generator={family: 'nowhere:Net'}"], SlimgenError, "PYTHONPATH"),
    ],
)
def test_unsound_recipes_are_refused_before_anything_is_computed(settings, error, words):
    with pytest.raises(error, match=words):
        check(TINY.override(settings))


@pytest.mark.parametrize("name", ["horse2zebra", "summer2winter", "cityscapes"])
def test_the_presets_are_the_papers_setting(name):
    recipe = load(f"co_evolution-{name}")
    check(recipe)
    options = section(SearchOptions, recipe.search, "search")
    assert (options.population, options.iterations, options.loss, options.cycle) == (32, 100, 10, 10)
    assert options.odds == (0.2, 0.7, 0.1)
    assert options.tuning is not None
    assert options.tuning.share == 0.1
    tune = recipe.finetune
    assert (tune.epochs, tune.batch, tune.rate, round(tune.decay * tune.epochs)) == (201, 8, 2e-4, 101)
    assert recipe.losses.identity * recipe.losses.cycle == 5


@pytest.mark.parametrize("other", ["losses.cycle=3", "data.flip=false"])
def test_candidates_tuned_with_other_losses_or_flips_are_measured_again(begun, images, tmp_path, other):
    teach = folders(begun)["teach"]
    names = ("generator", "discriminator", "reverse_generator", "reverse_discriminator")
    imported = TINY.override(
        ["search.tuning={updates: 2}", *(f"teach.{name}_checkpoint={teach / name}.safetensors" for name in names)]
    )
    run, found = tmp_path / "run", []
    for recipe in (imported, imported.override([other])):
        stages.run(recipe, data=images, out=run, until="search", progress=quiet)
        found.append((run / "search" / "trials.jsonl").read_bytes())
    assert found[0] != found[1]


def test_a_cached_fitness_is_used_for_the_same_losses_only(begun, tmp_path):
    first, same = judge(begun, tmp_path), judge(begun, tmp_path)
    other = judge(begun, tmp_path, ["search.loss=5"])
    pair = pair_of(first, "a")
    (trial,) = first.trials([pair])
    assert trial.seconds > 0
    assert same.trials([pair])[0].seconds == 0  # read, not judged
    (changed,) = other.trials([pair])
    assert changed.seconds > 0
    assert changed.quality["fitness"] != trial.quality["fitness"]


def test_a_budget_that_no_pruned_user_defined_network_meets_names_the_smallest_cost(begun, tmp_path):
    recipe = TINY.override(["budget={params: 30}"])
    work = job(begun, recipe, tmp_path)
    smallest = min(side.filters.cost(side.filters.space.smallest(), 16, 16).params for side in sides(work).values())
    with pytest.raises(BudgetError, match=f"{smallest:,} params"):
        search(work)
