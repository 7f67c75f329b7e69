"""Algorithm 1 step by step."""

from collections import Counter
from itertools import pairwise

import pytest

from slimgen.methods.alphagan.algorithm import (
    ARCHITECTURE,
    DISCRIMINATOR_BAR,
    GENERATOR_BAR,
    WEIGHTS,
    Step,
    timetable,
)
from slimgen.methods.alphagan.options import SupernetOptions

PARTS = (WEIGHTS, DISCRIMINATOR_BAR, GENERATOR_BAR, ARCHITECTURE)


def table(iterations: int, weights: int, bars: int, architecture: int, warm: int = 0) -> list[Step]:
    options = {"weight_steps": weights, "bar_steps": bars, "architecture_steps": architecture, "critic_steps": 1}
    return timetable(SupernetOptions(iterations=iterations, warm_up=warm / iterations, **options))


def closed_form(step: int, weights: int, bars: int, architecture: int, warm: int) -> tuple[str, int, int, int]:
    """Part, iteration, position and number of a step, by division."""
    if step < warm * weights:
        return WEIGHTS, step // weights, step % weights, step
    searched, position = divmod(step - warm * weights, weights + 2 * bars + architecture)
    starts = (0, weights, weights + bars, weights + 2 * bars)
    part, start = max((pair for pair in zip(PARTS, starts, strict=True) if position >= pair[1]), key=lambda p: p[1])
    iteration, position = warm + searched, position - start
    length = {WEIGHTS: weights, ARCHITECTURE: architecture}.get(part, bars)
    return part, iteration, position, (iteration if part == WEIGHTS else searched) * length + position


def closed_batch(part: str, iteration: int, position: int, number: int, setting: tuple[int, ...]) -> int:
    """The batch of a step: D-bar and the logits share theirs, G-bar's come after both."""
    iterations, _, bars, architecture, warm = setting
    if part in (WEIGHTS, GENERATOR_BAR):
        return number + (part == GENERATOR_BAR) * (iterations - warm) * (bars + architecture)
    return (iteration - warm) * (bars + architecture) + (part == ARCHITECTURE) * bars + position


@pytest.mark.parametrize(
    "setting", [(3, 4, 3, 2, 0), (5, 4, 3, 2, 2), (4, 1, 1, 1, 1), (8, 2, 5, 3, 2), (2, 390, 390, 20, 1)]
)
def test_every_step_is_the_one_of_the_closed_form(setting):
    steps = table(*setting)
    assert len(steps) == setting[0] * setting[1] + (setting[0] - setting[4]) * (2 * setting[2] + setting[3])
    for number, step in enumerate(steps):
        part, iteration, position, among = closed_form(number, *setting[1:])
        assert step == (part, position, among, closed_batch(part, iteration, position, among, setting))


def test_an_iteration_is_t_steps_of_the_weights_r_of_either_bar_and_s_of_the_logits():
    one = [WEIGHTS] * 3 + [DISCRIMINATOR_BAR] * 2 + [GENERATOR_BAR] * 2 + [ARCHITECTURE]
    assert [step.part for step in table(2, 3, 2, 1)] == 2 * one


def test_the_published_settings_take_8000_and_119000_steps():
    assert len(table(100, 20, 20, 20)) == 100 * 80
    counts = Counter(step.part for step in table(100, 390, 390, 20))
    assert counts == {WEIGHTS: 39_000, DISCRIMINATOR_BAR: 39_000, GENERATOR_BAR: 39_000, ARCHITECTURE: 2_000}


def test_each_part_numbers_its_own_steps_from_zero_on_without_a_gap():
    for setting in ((3, 4, 3, 2), (5, 4, 3, 2, 2), (4, 1, 1, 1, 1)):
        steps = table(*setting)
        for part in PARTS:
            numbers = [step.number for step in steps if step.part == part]
            assert numbers == list(range(len(numbers)))
        validation = [step.batch for step in steps if step.part in (DISCRIMINATOR_BAR, ARCHITECTURE)]
        assert all(two == one + 1 for one, two in pairwise(validation))


def test_an_iteration_of_the_warm_up_has_steps_of_the_weights_alone():
    steps = table(4, 4, 2, 1, warm=2)
    assert [step.part for step in steps[:12]] == [WEIGHTS] * 12
    assert steps[7] == Step(WEIGHTS, position=3, number=7, batch=7)
    assert steps[8] == Step(WEIGHTS, position=0, number=8, batch=8)
    assert steps[12] == Step(DISCRIMINATOR_BAR, position=0, number=0, batch=0)
    assert len(steps) == 4 * 4 + 2 * (2 * 2 + 1)
