"""Hostile data sets and archives, a few of those of `benchmarks.fuzz_pictures`; there a thousand."""

from pathlib import Path

import pytest

from benchmarks.fuzz_pictures import case, look


@pytest.mark.parametrize("tens", range(3))
def test_a_look_at_any_folder_ends_with_status_0_or_with_one_line_and_status_2(tmp_path: Path, tens: int) -> None:
    ends = {}
    for number in range(10 * tens, 10 * tens + 10):
        (tmp_path / str(number)).mkdir()
        ends[number] = look(case(number, tmp_path / str(number)))
    assert set(ends.values()) <= {"0", "2"}, ends
