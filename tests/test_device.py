import pytest
import torch

from slimgen.device import Compute, Starvation, available_memory, choose, cores, multiplies_bfloat16
from slimgen.errors import RecipeError

CPU = torch.device("cpu")


def test_automatic_precision_follows_the_processor() -> None:
    wanted = torch.bfloat16 if multiplies_bfloat16(CPU) else torch.float32
    assert choose("auto", "cpu").dtype == wanted
    assert choose("fp32", "cpu").dtype == torch.float32
    assert choose("bf16", "cpu").dtype == torch.bfloat16


def test_the_chosen_device_is_printed() -> None:
    text = str(choose("fp32", "cpu"))
    assert text.startswith("cpu fp32 channels_last")
    assert "threads" in text


def test_images_and_modules_are_laid_out_channels_last() -> None:
    compute = Compute(CPU)
    assert compute.place(torch.zeros(2, 3, 4, 4)).is_contiguous(memory_format=torch.channels_last)
    assert compute.place(torch.nn.Conv2d(4, 8, 3)).weight.is_contiguous(memory_format=torch.channels_last)
    assert compute.place(torch.zeros(5)).shape == (5,)


def test_only_convolutions_are_lowered() -> None:
    net = torch.nn.Conv2d(3, 4, 1)
    with Compute(CPU, torch.bfloat16).autocast():
        assert net(torch.zeros(1, 3, 4, 4)).dtype == torch.bfloat16
    assert net.weight.dtype == torch.float32
    with Compute(CPU).autocast():
        assert net(torch.zeros(1, 3, 4, 4)).dtype == torch.float32


def test_memory_is_what_host_and_container_have_left(tmp_path) -> None:
    assert available_memory(root=tmp_path) is None
    assert available_memory() > 0
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 3000 kB\nSwapFree: 1000 kB\n")
    assert available_memory(root=tmp_path) == 4000 * 1024
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.stat").write_text("anon 600\ninactive_file 300\n")
    (group / "memory.current").write_text("1000\n")
    (group / "memory.max").write_text("max\n")
    assert available_memory(root=tmp_path) == 4000 * 1024
    (group / "memory.max").write_text("1500\n")
    assert available_memory(root=tmp_path) == 800  # what files keep can be given up


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_one_line() -> None:
    with pytest.raises(RecipeError, match="GPU"):
        choose(device="cuda")


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(RecipeError, match="bf16"):
        choose("fp8")


def test_cores_are_those_of_the_affinity_and_of_the_quota(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)), raising=False)
    assert cores(tmp_path) == 6  # no container
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path) == 6
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert cores(tmp_path) == 2
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores(tmp_path) == 1
    old = tmp_path / "old" / "cpu"
    old.mkdir(parents=True)
    (old / "cpu.cfs_quota_us").write_text("-1\n")
    (old / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path / "old") == 6
    (old / "cpu.cfs_quota_us").write_text("400000\n")
    assert cores(tmp_path / "old") == 4


def test_starving_threads_give_one_hint_after_a_while() -> None:
    clock, used = [0.0], [0.0]
    starvation = Starvation(lambda: clock[0], lambda: used[0])

    def after(seconds: float, share: float, threads: int = 2) -> str | None:
        clock[0] += seconds
        used[0] += share * seconds * threads
        return starvation.hint(threads)

    assert [after(11, 0.95) for _ in range(5)] == [None] * 5
    assert [after(11, 0.5), after(11, 0.5)] == [None, None]
    assert after(11, 0.95) is None  # it was only a moment
    assert [after(11, 0.5) for _ in range(2)] == [None, None]
    assert "compute.threads=1" in (after(11, 0.5) or "")
    assert [after(11, 0.5) for _ in range(9)] == [None] * 9
    alone = Starvation(lambda: clock[0], lambda: used[0])
    clock[0] += 100
    assert alone.hint(1) is None
