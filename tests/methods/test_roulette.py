"""The genetic search of Co-Evolutionary Compression: its operations, its order, and what every searcher must keep."""

import random
from collections import Counter
from statistics import pvariance

import pytest

from slimgen.errors import RecipeError
from slimgen.methods.co_evolution.pressure import probabilities
from slimgen.methods.co_evolution.roulette import PUBLISHED, TURN, CoEvolution, Odds, Population
from slimgen.search import Choice, Genotype, Mask, Objective, Space, Trial, explore

FIT = Objective("fitness", "max")
MASKS = Space({"x": Mask(12), "y": Mask(20, 2), "z": Mask(5)})
ANCHOR = MASKS.canonical({"x": "000000100000", "y": "1" * 2 + "0" * 18, "z": "00001"})


def ones(genotype) -> int:
    return sum(str(value).count("1") for value in genotype.values())


def population(size=8, most=37, space=MASKS, anchor=ANCHOR, odds=PUBLISHED, **how) -> Population:
    return Population(space, lambda genotype: ones(genotype) <= most, anchor, size, odds, **how)


def searcher(iterations=6, most=(37, 37), apart=False, size=8, **how) -> CoEvolution:
    return CoEvolution([population(size, limit, **how) for limit in most], FIT, iterations, apart)


def judged(genotypes) -> list[Trial]:
    """A fitness that is a fixed function of the pair, with a direction to evolve in."""
    found = []
    for genotype in genotypes:
        own = genotype.under(str(genotype[TURN]))
        value = 1 + sum(str(bits).startswith("11") for bits in own.values()) + random.Random(genotype.key).random()
        found.append(Trial(genotype, {"params": float(ones(own))}, {"fitness": value}))
    return found


def rounds(search, most=100):
    for number in range(most):
        asked = search.ask(random.Random(number))
        if not asked:
            return
        yield asked
        search.tell(judged(asked))


def test_every_pair_is_new_canonical_and_within_the_budget_of_its_turn():
    search, seen = searcher(most=(14, 9)), []
    for asked in rounds(search):
        for pair in asked:
            search.space.check(pair)
            assert ones(pair.under(str(pair[TURN]))) <= (14 if pair[TURN] == "a" else 9)
        seen += asked
    assert len(seen) == len(set(seen)) > 40
    assert search.best == max(judged(seen), key=lambda trial: trial.quality["fitness"])


def test_the_same_answers_lead_to_the_same_questions_and_asking_twice_changes_nothing():
    first, again = searcher(), searcher()
    for number in range(9):
        asked = first.ask(random.Random(number))
        assert again.ask(random.Random(number)) == asked == again.ask(random.Random(number))
        first.tell(judged(asked))
        again.tell(judged(asked))


def test_populations_alternate_and_partners_are_the_best_of_the_other():
    search = searcher()
    for number, asked in enumerate(rounds(search)):
        turn, other = ("a", "b") if number % 2 == 0 else ("b", "a")
        assert {pair[TURN] for pair in asked} == {turn}
        (partner,) = {pair.under(other) for pair in asked}
        champion = search.champions[1 - number % 2]
        assert partner == (MASKS.largest() if number == 0 else champion)


def test_the_champions_of_all_iterations_but_the_last_are_measured_both_ways():
    search, champions = searcher(iterations=5), []
    while asked := search.ask(random.Random(len(search.trials))):
        search.tell(judged(asked))
        if asked[0][TURN] == "b":
            champions.append(search.champions)
    assert len(champions) == 6
    found = search.both_ways
    assert set(champions[:-1]) <= set(found)
    assert len(set(found)) == len(found)
    assert all(search.pair(turn, *pair) in search.trials for pair in found for turn in "ab")


def test_evolved_apart_every_partner_is_the_whole_generator():
    for asked in rounds(searcher(apart=True)):
        for pair in asked:
            assert pair.under("b" if pair[TURN] == "a" else "a") == MASKS.largest()


def test_the_best_of_a_generation_is_in_the_next_one():
    search, fresh = searcher(iterations=20), Counter()
    for number in range(30):
        side = number % 2
        before = search.champions[side]
        partner = search.champions[1 - side]
        asked = search.ask(random.Random(number))
        known = search.trials
        if before is not None:
            kept = search.pair("ab"[side], before, partner) if side == 0 else search.pair("b", partner, before)
            assert kept in asked or kept in known
            fresh[kept in asked] += 1
        search.tell(judged(asked))
    assert fresh[True] > 0


def test_fitness_beside_one_partner_never_falls():
    search, best = searcher(iterations=30, apart=True), {}
    for asked in rounds(search):
        turn = str(asked[0][TURN])
        champion = search.champions["ab".index(turn)]
        search_best = max(trial.quality["fitness"] for trial in judged(asked))
        best[turn] = max(best.get(turn, 0), search_best)
    for turn, champion in zip("ab", search.champions, strict=True):
        whole, ranked = MASKS.largest(), search.ranked(turn)
        pairs = [search.pair(turn, one, whole) if turn == "a" else search.pair(turn, whole, one) for one in ranked]
        fitness = [trial.quality["fitness"] for trial in judged(pairs)]
        assert fitness == sorted(fitness, reverse=True)
        assert (ranked[0], fitness[0], len(set(ranked))) == (champion, best[turn], len(ranked))


def test_random_individuals_have_random_bits():
    counted = [ones(genotype) for genotype in population(size=400).draw(random.Random(0))]
    assert 18 < sum(counted) / len(counted) < 19.2


def test_an_empty_layer_gets_back_its_strongest_filters():
    found = population(odds=Odds(0, 0, 1)).breed([MASKS.largest()] * 2, [1, 1], random.Random(0))
    for number in range(200):
        found += population(odds=Odds(0, 0, 1)).breed([MASKS.largest()] * 2, [1, 1], random.Random(number))
    empty = [genotype for genotype in found if genotype["z"] == ANCHOR["z"]]
    assert empty
    assert all(MASKS.canonical(genotype) == genotype for genotype in found)


def test_offspring_are_selected_crossed_and_mutated_as_often_as_the_odds_say():
    low, high = MASKS.canonical({"x": "1" + "0" * 11, "y": "11" + "0" * 18, "z": "10000"}), MASKS.largest()
    parents, count = [low, high], Counter()
    offspring = population(size=4001, odds=Odds(0.2, 0.7, 0.1)).breed(parents, [1, 1], random.Random(0))
    assert offspring[0] == low
    for child in offspring[1:]:
        count["same" if child in parents else "other"] += 1
    # A crossing of a parent with itself, every second one, changes nothing.
    assert count["same"] / 4000 == pytest.approx(0.2 + 0.7 / 2, abs=0.05)


def test_the_wheel_draws_parents_in_proportion_to_their_fitness():
    parents = [ANCHOR.replace({"z": bits}) for bits in ("10000", "01000", "00100", "00010")]
    drawn = population(size=6001, odds=Odds(1, 0, 0)).breed(parents, [1, 3, 0, float("nan")], random.Random(0))
    share = Counter(drawn[1:])
    assert share[parents[0]] / 6000 == pytest.approx(0.25, abs=0.02)
    assert share[parents[0]] + share[parents[1]] == 6000


NAN = float("nan")


@pytest.mark.parametrize(
    ("pressure", "fitness", "expected"),
    [
        ("roulette", [1, 3, 0, NAN, float("inf"), -2], [1 / 4, 3 / 4, 0, 0, 0, 0]),
        # Ranks 2, 3, 1, and those without a rank.
        ("rank", [2.0, 9.0, 1.9, NAN, 0], [2 / 6, 3 / 6, 1 / 6, 0, 0]),
        ("rank", [5, 5, 1, 7], [2.5 / 10, 2.5 / 10, 1 / 10, 4 / 10]),
        # Mean 3 and deviation 2: the weights are their distances from -1, two deviations below the mean.
        ("sigma", [1, 5], [1 / 4, 3 / 4]),
        # Mean 2 and deviation 3 without NaN: 1 of 10 is 3 deviations above, the others a third of one below.
        ("sigma", [1] * 9 + [11, NAN], [(5 / 3) / 20] * 9 + [5 / 20, 0]),
        ("sigma", [4, 4, 4], [1 / 3] * 3),
        *((kind, [NAN, 0], [1 / 2, 1 / 2]) for kind in ("roulette", "sigma", "rank")),
    ],
)
def test_parents_are_as_likely_as_the_pressure_says(pressure, fitness, expected):
    assert probabilities(fitness, pressure) == pytest.approx(expected)


def test_sigma_scaling_never_draws_one_more_than_two_deviations_below_the_mean():
    # Mean 9.9 and deviation sqrt(0.99 * 0.01) * 10 = 0.995 for 99 tens and a nought-like one, ten deviations below.
    found = probabilities([10.0] * 99 + [1e-9], "sigma")
    assert found[-1] == 0
    assert found[:99] == pytest.approx([1 / 99] * 99)


def test_pressure_depends_on_differences_where_the_wheel_hardly_does():
    close = [100.0, 101.0, 102.0, 103.0]
    assert max(probabilities(close)) / min(probabilities(close)) < 1.04
    assert max(probabilities(close, "sigma")) / min(probabilities(close, "sigma")) > 4
    assert probabilities(close, "sigma") == pytest.approx(probabilities([0.1, 1.1, 2.1, 3.1], "sigma"))
    assert probabilities(close, "rank") == pytest.approx([0.1, 0.2, 0.3, 0.4])
    drawn = population(size=4001, odds=Odds(1, 0, 0), pressure="rank").breed(
        [ANCHOR.replace({"z": bits}) for bits in ("10000", "01000", "00100", "00010")], close, random.Random(0)
    )
    assert drawn[0]["z"] == "00010"
    assert Counter(one["z"] for one in drawn[1:])["00010"] / 4000 == pytest.approx(0.4, abs=0.03)


def test_individuals_that_start_by_layers_differ_in_shape():
    counted = {start: [] for start in ("bernoulli", "layers")}
    for start, shares in counted.items():
        for genotype in population(size=300, start=start).draw(random.Random(0)):
            assert MASKS.canonical(genotype) == genotype
            shares.append(str(genotype["y"]).count("1") / 20)
    # Of n bits, the kept share has the variance p (1 - p) / n for one p; 1/12 (1 - 1/n) + 1/2/3/n for a uniform p.
    assert pvariance(counted["bernoulli"]) == pytest.approx(1 / 80, rel=0.25)
    assert pvariance(counted["layers"]) == pytest.approx(1 / 12 * 19 / 20 + 1 / 120, rel=0.25)
    tight = population(size=20, most=9, start="layers").draw(random.Random(1))
    assert max(map(ones, tight)) <= 9


def test_a_mask_is_filled_up_to_the_budget_and_keeps_what_it_had():
    few = population(most=20)
    full = few.filled(ANCHOR, random.Random(0))
    assert ones(full) == 20
    assert all(two == "1" for name in MASKS for one, two in zip(ANCHOR[name], full[name], strict=True) if one == "1")
    assert few.filled(full, random.Random(1)) == full


def test_a_crossing_takes_one_segment_and_a_mutation_flips_one():
    flat = Space({"x": Mask(30, 0)})
    zeros, full = flat.canonical({"x": "0" * 30}), flat.canonical({"x": "1" * 30})
    for odds in (Odds(0, 1, 0), Odds(0, 0, 1)):
        bred = population(300, 30, flat, zeros, odds).breed([zeros, full], [1, 1], random.Random(1))
        for child in bred:
            assert sum(one != two for one, two in zip(str(child["x"]), str(child["x"])[1:], strict=False)) <= 2
        assert len(set(bred)) > 100


def test_a_search_of_one_point_and_one_that_allows_nothing_end():
    point = Space({"m": Mask(3, 3)})
    one = CoEvolution([population(4, 9, point, point.largest()) for _ in "ab"], FIT, 50)
    assert [len(asked) for asked in rounds(one)] == [1, 1]
    nothing = CoEvolution([population(most=1) for _ in "ab"], FIT, 3)
    assert nothing.ask(random.Random(0)) == []


def test_the_champions_are_of_the_last_generation_though_it_holds_nothing_new():
    """In a space of three points nothing is new soon; from then on generations are bred of known pairs alone."""
    few = Space({"x": Mask(2)})
    for seed in range(20):
        search = CoEvolution([population(4, 2, few, few.canonical({"x": "10"}))] * 2, FIT, 12)
        for asked in iter(lambda search=search, seed=seed: search.ask(random.Random(seed)), []):
            search.tell(judged(asked))
        known = search.trials
        for turn, champion in zip("ab", search.champions, strict=True):
            beside = [known[pair] for pair in known if pair[TURN] == turn and pair.under(turn) == champion]
            assert beside
        assert search._state.turn == 2 * (12 + 1)


def test_qualities_that_are_not_finite_do_no_harm():
    search = searcher()
    for number in range(4):
        asked = search.ask(random.Random(number))
        search.tell([Trial(pair, {}, {"fitness": float("nan")}) for pair in asked])
        assert search.champions == (None, None)
    asked = search.ask(random.Random(9))
    search.tell(judged(asked))
    assert search.champions[0] is not None


@pytest.mark.parametrize("how", [{}, {"pressure": "rank", "start": "layers"}])
def test_a_search_killed_at_any_round_ends_with_the_same_trials(tmp_path, how):
    def run(log, most):
        return explore(searcher(iterations=4, **how), judged, log=log, seed=3, step="pairs", evaluations=most)

    whole = run(tmp_path / "whole.jsonl", None)
    for most in (1, 9, 20, 33, None):
        parts = run(tmp_path / "parts.jsonl", most)
        if most is not None:
            lines = (tmp_path / "parts.jsonl").read_bytes()
            (tmp_path / "parts.jsonl").write_bytes(lines + b'{"step": "pairs", "rou')  # as a killed process leaves it
    assert parts == whole


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: population(space=Space({"c": Choice((1, 2))}), anchor=Genotype({"c": 1})), "space of masks"),
        (lambda: population(size=1), "at least two"),
        (lambda: population(odds=Odds(0.5, 0.5, 0.5)), "sum to 1"),
    ],
)
def test_nonsensical_settings_are_refused(make, words):
    with pytest.raises(RecipeError, match=words):
        make()
