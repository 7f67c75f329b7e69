from collections import Counter

import pytest

from slimgen.nets.cf_gan.space import OPERATORS, Shape, paths, trellis_space
from slimgen.search import Choice, Space
from slimgen.training.draws import UpdateCounts, fair, fixed, sandwich, unfair, uniform

SPACE = trellis_space(Shape(ngf=8, blocks=2))
WAYS = len(paths(3))


def counted(draw, steps: int) -> UpdateCounts:
    counts = UpdateCounts()
    for step in range(steps):
        archs = draw(step)
        counts.generator_step(archs)
        counts.discriminator_step(str(archs[0]["path"]))
    return counts


@pytest.mark.parametrize("seed", range(5))
def test_fair_sampling_keeps_definition_3_1_at_the_end_of_every_cycle(seed: int) -> None:
    for cycles in (1, 2, 7):
        assert counted(fair(SPACE, SPACE.largest(), seed), cycles * WAYS).violations(SPACE) == []


@pytest.mark.parametrize("seed", range(5))
def test_uniform_sampling_breaks_definition_3_1(seed: int) -> None:
    assert counted(unfair(SPACE, SPACE.largest(), seed), 7 * WAYS).violations(SPACE)


def test_fair_step_uses_each_operator_of_each_layer_once_on_one_path() -> None:
    for step in range(20):
        archs = fair(SPACE, SPACE.largest(), 3)(step)
        assert len({arch["path"] for arch in archs}) == 1
        for name in (name for name in SPACE if name.startswith("operator.")):
            assert Counter(arch[name] for arch in archs) == Counter(OPERATORS)


def test_fair_orders_differ_between_cycles() -> None:
    draw = fair(SPACE, SPACE.largest(), 0)
    orders = {tuple(draw(cycle * WAYS + place)[0]["path"] for place in range(WAYS)) for cycle in range(30)}
    assert len(orders) > 10


@pytest.mark.parametrize("make", [fair, unfair])
def test_draws_are_functions_of_seed_and_step(make) -> None:
    one, two = make(SPACE, SPACE.largest(), 5), make(SPACE, SPACE.largest(), 5)
    assert [one(step) for step in (9, 2, 9)] == [two(step) for step in (9, 2, 9)]
    assert [make(SPACE, SPACE.largest(), 6)(step) for step in range(4)] != [one(step) for step in range(4)]


def test_uniform_draw_visits_every_option_equally_often() -> None:
    space = Space({"width": Choice((1, 2, 3))})
    seen = Counter(arch["width"] for step in range(3000) for arch in uniform(space, 0)(step))
    assert all(abs(count - 1000) < 100 for count in seen.values())


def test_sandwich_holds_both_ends() -> None:
    space = Space({"width": Choice((1, 2, 3))})
    assert [arch["width"] for arch in sandwich(space, 0, 2)(4)][:2] == [3, 1]
    assert len(sandwich(space, 0, 2)(4)) == 4


def test_fixed_draw_never_changes() -> None:
    assert fixed(SPACE.largest())(0) == fixed(SPACE.largest())(99)


def test_counts_survive_a_checkpoint() -> None:
    counts = counted(unfair(SPACE, SPACE.largest(), 1), 9)
    again = UpdateCounts()
    again.load_state_dict(counts.state_dict())
    assert again.violations(SPACE) == counts.violations(SPACE)
    assert (again.generator, again.operators) == (counts.generator, counts.operators)
