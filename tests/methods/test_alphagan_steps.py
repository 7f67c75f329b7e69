"""Algorithm 1 step by step."""

from slimgen.methods.alphagan.timetable import (
    ARCHITECTURE,
    DISCRIMINATOR_BAR,
    GENERATOR_BAR,
    WEIGHTS,
    Moment,
    Timetable,
)


def parts(table: Timetable) -> list[str]:
    return [table.at(step).part for step in range(table.steps)]


def test_an_iteration_is_t_steps_of_the_weights_r_of_either_bar_and_s_of_the_logits():
    table = Timetable(2, weights=3, bars=2, architecture=1)
    one = [WEIGHTS] * 3 + [DISCRIMINATOR_BAR] * 2 + [GENERATOR_BAR] * 2 + [ARCHITECTURE]
    assert parts(table) == 2 * one


def test_the_published_settings_take_8000_and_119000_steps():
    small, large = Timetable(100, 20, 20, 20), Timetable(100, 390, 390, 20)
    assert (small.steps, large.steps) == (100 * 80, 100 * 1190)
    assert large.counts == {WEIGHTS: 39_000, DISCRIMINATOR_BAR: 39_000, GENERATOR_BAR: 39_000, ARCHITECTURE: 2_000}


def test_each_part_numbers_its_own_steps_from_zero_on_without_a_gap():
    for table in (Timetable(3, 4, 3, 2), Timetable(5, 4, 3, 2, warm=2), Timetable(4, 1, 1, 1, warm=1)):
        moments = [table.at(step) for step in range(table.steps)]
        for part, count in table.counts.items():
            assert [moment.number for moment in moments if moment.part == part] == list(range(count))
        assert [moment.iteration for moment in moments] == sorted(moment.iteration for moment in moments)
        assert {moment.iteration for moment in moments} == set(range(table.iterations))


def test_an_iteration_of_the_warm_up_has_steps_of_the_weights_alone():
    table = Timetable(3, 4, 2, 1, warm=2)
    assert parts(table)[:12] == [WEIGHTS] * 12
    assert table.at(7) == Moment(WEIGHTS, iteration=1, place=3, number=7)
    assert table.at(8) == Moment(WEIGHTS, iteration=2, place=0, number=8)
    assert table.at(12) == Moment(DISCRIMINATOR_BAR, iteration=2, place=0, number=0)
    assert table.steps == 3 * 4 + 2 * 2 + 1
