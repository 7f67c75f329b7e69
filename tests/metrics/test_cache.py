import math
import random
import subprocess
import sys
from pathlib import Path

from slimgen.metrics.cache import Cache


def test_floats_come_back_bit_for_bit(tmp_path: Path) -> None:
    rng = random.Random(0)
    values = {str(n): rng.uniform(-1, 1) * 10 ** rng.randint(-300, 300) for n in range(200)}
    values |= {"best": math.inf, "worst": -math.inf, "zero": -0.0}
    Cache(tmp_path / "c.jsonl").put("g", "s", "p", values)
    again = Cache(tmp_path / "c.jsonl").get("g", "s", "p")
    assert again is not None
    assert {name: value.hex() for name, value in again.items()} == {name: v.hex() for name, v in values.items()}


def test_genotype_supernet_and_protocol_are_all_part_of_the_key(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c.jsonl")
    cache.put("g", "s", "p", {"psnr": 1.0})
    assert cache.get("g", "s", "p") == {"psnr": 1.0}
    assert [cache.get("h", "s", "p"), cache.get("g", "t", "p"), cache.get("g", "s", "q")] == [None] * 3


def test_a_torn_last_line_is_skipped_and_does_not_damage_the_next(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    cache = Cache(path)
    cache.put("a", "s", "p", {"psnr": 1.0})
    cache.put("b", "s", "p", {"psnr": 2.0})
    path.write_bytes(path.read_bytes()[:-20])
    cache = Cache(path)
    assert cache.get("a", "s", "p") == {"psnr": 1.0}
    assert cache.get("b", "s", "p") is None
    cache.put("c", "s", "p", {"psnr": 3.0})
    again = Cache(path)
    assert len(again) == 2
    assert again.get("c", "s", "p") == {"psnr": 3.0}


def test_lines_of_json_that_are_not_records_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('3\n{"genotype": "g"}\n{"genotype":"g","supernet":"s","protocol":"p","values":[1]}\n')
    assert len(Cache(path)) == 0


def test_values_of_another_process_are_read_without_reopening(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    mine, other = Cache(path), Cache(path)
    assert mine.get("g", "s", "p") is None
    other.put("g", "s", "p", {"psnr": 1.5})
    assert mine.get("g", "s", "p") == {"psnr": 1.5}


def test_processes_writing_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    code = (
        "import sys, pathlib; from slimgen.metrics.cache import Cache; c = Cache(pathlib.Path(sys.argv[1]))\n"
        "for n in range(200): c.put(f'{sys.argv[2]}-{n}', 's', 'p' * 300, {'psnr': float(n)})"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(Cache(path)) == 600


def test_the_cache_hands_out_copies(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c.jsonl")
    cache.put("g", "s", "p", {"psnr": 1.0})
    found = cache.get("g", "s", "p")
    assert found is not None
    found["psnr"] = 9.0
    assert cache.get("g", "s", "p") == {"psnr": 1.0}
