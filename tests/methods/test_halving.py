from slimgen.methods.effort import Effort
from slimgen.methods.halving import affordable, measurements, of_each, pictures, rungs, updates
from slimgen.search import Genotype


def test_the_better_half_continues_twice_as_long() -> None:
    assert rungs(16, 800) == [(16, 100), (8, 200), (4, 400), (2, 800)]
    assert rungs(5, 100) == [(5, 40), (3, 66), (2, 100)]
    assert rungs(1, 100) == [(1, 100)]
    assert rungs(5, 4) == [(5, 1), (3, 2), (2, 4)]
    assert rungs(16, 2) == [(16, 1), (8, 2)]


def test_updates_are_those_of_every_rung_and_of_the_winner_from_scratch() -> None:
    assert updates(4, 800) == 4 * 400 + 2 * 400 + 800
    assert updates(16, 800) == 16 * 100 + 8 * 100 + 4 * 200 + 2 * 400 + 800


def test_all_that_is_measured_is_counted() -> None:
    assert measurements(16, 16) == 16 + 16 + 8 + 4 + 2
    assert measurements(16, 16, parts=4) == 4 * 4 + 12 + 16 + 8 + 4 + 2
    # Too few to choose a part by: as many as were asked for.
    assert measurements(7, 2, parts=4) == 7 + 2 + 4 + 2
    assert measurements(8, 0, parts=4) == 2 * 4 + 6 + 4 + 2
    assert [of_each(count, 4) for count in (3, 7, 8, 16)] == [0, 0, 2, 4]
    assert of_each(16, 1) == 0


def test_pictures_are_those_of_every_rung() -> None:
    assert pictures((16, 16), 800, 4, parts=4) == 4 * (44 * 100 + 8 * 100 + 4 * 200 + 2 * 400)
    assert pictures((4, 0), 800, 2) == 2 * (4 * 400 + 2 * 400)


def test_as_many_are_halved_as_the_effort_pays_for() -> None:
    effort = Effort.of(updates(16, 800), 4, 1e6)
    assert affordable(effort, 800, 4, 1e6) == 16
    assert affordable(Effort.of(updates(16, 800) - 1, 4, 1e6), 800, 4, 1e6) == 8
    assert affordable(Effort.of(1, 4, 1e6), 800, 4, 1e6) == 2
    assert affordable(Effort.of(10**9, 4, 1e6), 800, 4, 1e6, most=32) == 32


def test_effort_adds_up() -> None:
    one = Effort.of(10, 4, 1_000)
    assert one == Effort(10, 40, 3 * 1_000 * 40)
    assert one.plus(Effort(1, 2, 3.0)) == Effort(11, 42, 120_003.0)


def test_effort_of_drawn_architectures_is_that_of_every_update() -> None:
    big, small = Genotype({"width": 10}), Genotype({"width": 2})

    def draw(step: int) -> list[Genotype]:
        return [big, small] if step % 2 else [small, small]

    drawn = Effort.drawn(draw, lambda arch: float(arch["width"]), 6, 5)
    assert drawn == Effort(6, 6 * 5 * 2, 3 * 5 * (3 * 12 + 3 * 4))
    assert Effort.drawn(draw, lambda arch: 1.0, 0, 5) == Effort()
