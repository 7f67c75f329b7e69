"""Enlargement in windows, against functions of pictures whose result for the whole is known."""

import argparse
import itertools
from pathlib import Path

import numpy
import pytest

from benchmarks import tiled as benchmark
from slimgen.export import tiling
from slimgen.export.tiled import enlarge


def drawn(height, width, channels=1):
    return numpy.random.default_rng(height * 1000 + width).integers(0, 256, (1, channels, height, width))


def nearest(picture, scale=2):
    return picture.repeat(scale, 2).repeat(scale, 3)


def sums(radius):
    """A convolution with ones, whole numbers and zero padding: a pixel depends on inputs up to `radius` away."""

    def run(picture):
        edge = numpy.pad(picture, [(0, 0), (0, 0), (radius, radius), (radius, radius)])
        seen = numpy.lib.stride_tricks.sliding_window_view(edge, (2 * radius + 1, 2 * radius + 1), (2, 3))
        return nearest(seen.sum((4, 5)))

    return run


def pooled(picture):
    """Means of squares of 2 x 2 pixels, twice as large; odd sides have smaller squares at their end, as in CF-GAN."""
    height, width = picture.shape[2:]
    tops, lefts = range(0, height, 2), range(0, width, 2)
    rows = [[picture[:, :, y : y + 2, x : x + 2].mean((2, 3)) for x in lefts] for y in tops]
    means = numpy.array(rows).transpose(2, 3, 0, 1)
    return nearest(means, 4)[:, :, : 2 * height, : 2 * width]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3), (16, 16), (17, 33), (50, 100)])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_picture_of_any_size_is_enlarged_whole(size, scale):
    picture = drawn(*size, channels=3)
    made = enlarge(picture, lambda part: nearest(part, scale), window=(16, 24), overlap=2)
    assert numpy.array_equal(made, nearest(picture, scale))


@pytest.mark.parametrize("size", [(40, 61), (55, 80), (33, 24)])
def test_an_overlap_of_the_radius_gives_exactly_the_whole_and_one_pixel_less_does_not(size):
    picture, run = drawn(*size), sums(5)
    assert numpy.array_equal(enlarge(picture, run, window=(24, 32), overlap=5), run(picture))
    assert not numpy.array_equal(enlarge(picture, run, window=(24, 32), overlap=4), run(picture))


def test_windows_begin_where_the_squares_of_a_pooling_do():
    picture = drawn(45, 61)
    for window, overlap in itertools.product([(16, 24), (17, 23)], [1, 2, 3]):
        assert numpy.array_equal(enlarge(picture, pooled, window=window, overlap=overlap), pooled(picture))
    assert not numpy.array_equal(enlarge(picture, pooled, window=(16, 16), overlap=2, step=1), pooled(picture))


@pytest.mark.parametrize("size", [(1, 1), (30, 41), (41, 64), (97, 50)])
def test_windows_are_of_one_size_or_smaller_by_less_than_a_step(size):
    seen = []

    def run(part):
        seen.append(part.shape[2:])
        return nearest(part)

    enlarge(drawn(*size), run, window=(32, 40), overlap=6)
    for axis, window in enumerate((32, 40)):
        sides = {shape[axis] for shape in seen}
        assert max(sides) == min(window, size[axis])
        assert min(sides) > min(window, size[axis]) - 8


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (31, 47), (60, 33)])
def test_sides_that_are_no_multiple_are_continued_by_their_mirror_image(size):
    def run(part):
        assert all(side % 3 == 0 for side in part.shape[2:])
        return sums(2)(part)

    picture = drawn(*size)
    more = [(0, 0), (0, 0), *((0, -side % 3) for side in size)]
    expected = run(numpy.pad(picture, more, "reflect"))[:, :, : 2 * size[0], : 2 * size[1]]
    assert numpy.array_equal(enlarge(picture, run, window=(48, 48), overlap=2, step=24, multiple=3), expected)
    assert numpy.array_equal(enlarge(picture, run, window=None, step=24, multiple=3), expected)


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (16, 20), (31, 47), (60, 33)])
def test_a_file_of_one_size_gets_windows_of_exactly_its_size(size):
    def run(part):
        assert part.shape == (1, 1, 16, 20)
        return sums(3)(part)

    picture = drawn(*size)
    made = enlarge(picture, run, window=(16, 20), overlap=4, step=4, least=(16, 20))
    assert made.shape == (1, 1, 2 * size[0], 2 * size[1])
    # At the right and bottom the mirror image continues the picture instead of zeros.
    inner = [slice(0, max(0, 2 * (side - 3))) for side in size]
    assert numpy.array_equal(made[0, 0][*inner], sums(3)(picture)[0, 0][*inner])


def test_small_pictures_are_continued_to_what_the_file_takes():
    def run(part):
        assert min(part.shape[2:]) >= 4
        return nearest(part)

    for size in ((1, 1), (2, 50), (4, 3)):
        picture = drawn(*size)
        assert numpy.array_equal(enlarge(picture, run, window=(32, 32), overlap=4, least=(4, 4)), nearest(picture))


def test_the_result_has_the_type_and_the_channels_that_the_function_makes():
    picture = drawn(20, 40).astype(numpy.uint8)

    def run(part):
        assert part.dtype == numpy.uint8
        return numpy.repeat(nearest(part), 3, axis=1).astype(numpy.float16)

    made = enlarge(picture, run, window=(16, 16), overlap=2)
    assert (made.dtype, made.shape) == (numpy.float16, (1, 3, 40, 80))


def test_a_window_too_small_for_its_overlap_is_refused_only_where_it_would_be_used():
    with pytest.raises(ValueError, match="a window must hold twice the overlap and 8 px; got 16 px for 5 px"):
        enlarge(drawn(20, 20), nearest, window=(16, 16), overlap=5)
    assert enlarge(drawn(16, 16), nearest, window=(16, 16), overlap=5).shape == (1, 1, 32, 32)


def test_memory_in_windows_is_less_by_more_than_a_feature_of_the_whole_picture(tmp_path, monkeypatch):
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process' memory is read from /proc")
    monkeypatch.setattr(tiling, "MEMORY", 2**20)
    asked = argparse.Namespace(blocks=1, channels=16, growth=4, height=150, width=200, threads=1)
    found = benchmark.measure(asked, tmp_path)
    windows, whole = found["ways"]["in windows"], found["ways"]["whole"]
    assert windows["windows"] > 1 == whole["windows"]
    assert whole["bytes"] - windows["bytes"] > 16 * (4 * 150) * (4 * 200) * 4
    assert found["largest difference"] < 1e-5
