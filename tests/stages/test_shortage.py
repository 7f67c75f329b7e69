"""What ends a stage and is the user's to mend: memory and disks that run out, and code that does not return."""

import errno
import os
import signal
import sys

import pytest
import torch

from slimgen.errors import RunError
from slimgen.nets import build_generator, generator_cost
from slimgen.recipe import Recipe
from slimgen.run.record import read_record
from slimgen.shortage import ShortageError
from slimgen.stages import memory, perform
from slimgen.stages.table import STAGES
from slimgen.stopping import Stopped, listening

TEXT = """
task: paired
method: gan_compression
size: 32
budget: {macs: 1/2}
teach: {generator: {family: resnet, ngf: 8, blocks: 1}, updates: 1, batch: 4}
supernet: {updates: 1, batch: 2, distill: 1, space: [[4, 8], [4, 8], [4, 8], [4, 8], [4, 8], [4, 8], [4, 8], [4, 8]]}
finetune: {updates: 1}
"""
RECIPE = Recipe.parse(TEXT, "tiny")


@pytest.mark.parametrize(
    ("stage", "lower"),
    [
        ("teach", "lower teach.batch (now 4) or teach.generator.ngf (now 8) or size (now 32 x 32)"),
        ("supernet", "lower supernet.batch (now 2) or teach.generator.ngf (now 8) or size (now 32 x 32)"),
        ("finetune", "lower teach.generator.ngf (now 8) or size (now 32 x 32)"),  # a batch of 1 cannot be lowered
        ("prepare", "lower size (now 32 x 32)"),  # which has no networks
    ],
)
@pytest.mark.parametrize("cause", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), "torch"])
def test_where_memory_runs_out_the_batch_the_width_and_the_size_are_named(tmp_path, stage, lower, cause) -> None:
    with pytest.raises(ShortageError) as short, perform._mendable(STAGES[stage], RECIPE, tmp_path):
        fail(cause)
    assert str(short.value).startswith(f"{stage} needs more memory than ")
    assert str(short.value).endswith(f"; {lower}.")


def kept(recipe: Recipe, batch: int) -> int:
    """Bytes that a forward pass of real pictures keeps for the backward pass, each storage once."""
    net, found = build_generator(**recipe.teach.generator), dict[int, int]()

    def pack(value: torch.Tensor) -> torch.Tensor:
        if not isinstance(value, torch.nn.Parameter):
            found[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        held = net(torch.zeros(batch, 3, *recipe.size))
    assert held.requires_grad
    return sum(found.values())


@pytest.mark.parametrize("width", [8, 24])
def test_memory_foreseen_is_no_more_than_weights_optimizer_and_a_forward_pass_keep(width) -> None:
    recipe = RECIPE.override([f"teach.generator.ngf={width}", "compute.precision=fp32"])
    params = generator_cost("resnet", 32, 32, ngf=width, blocks=1).params
    needed = 16 * params + kept(recipe, batch=4)
    assert 0.95 * needed < memory.at_least(recipe) <= needed
    assert memory.at_least(recipe) < memory.at_least(recipe, rough=True)
    assert memory.at_least(recipe.override(["compute.precision=auto"])) < memory.at_least(recipe)


def test_a_training_that_cannot_fit_is_refused_and_one_that_can_is_not(monkeypatch) -> None:
    least = int(memory.at_least(RECIPE))
    assert memory.foresee(RECIPE, "lower it", available=1) == ""  # so little is not worth an estimate
    monkeypatch.setattr(memory, "WORTH_A_LINE", 0)
    with pytest.raises(ShortageError, match=r"teach needs more memory than there is; got at least .* free; lower it"):
        memory.foresee(RECIPE, "lower it", available=least - 1)
    told = memory.foresee(RECIPE, "lower it", available=least)
    assert told.startswith("teach takes at least ")
    imported = RECIPE.override(["teach.generator_checkpoint=some.pth"])
    assert memory.foresee(imported, "lower it", available=1) == ""


@pytest.mark.parametrize(("setting", "gigabytes"), [("teach.batch=65536", 11), ("teach.generator.ngf=1024", 4)])
def test_an_excessive_batch_size_or_width_is_reported_at_once(setting, gigabytes) -> None:
    recipe = RECIPE.override([setting])
    assert memory.foresee(recipe, "lower it", available=10**12).startswith("teach takes at least ")
    with pytest.raises(ShortageError):
        memory.foresee(recipe, "lower it", available=gigabytes * 10**9)


def fail(cause: BaseException | str) -> None:
    if cause == "torch":
        torch.empty(1 << 50)
    raise cause


@pytest.mark.parametrize(
    ("cause", "said", "status"),
    [
        (lambda: sys.exit(0), "code that a stage calls must return; got sys.exit(0)", "FAILED"),
        (lambda: sys.exit(), "code that a stage calls must return; got sys.exit(None)", "FAILED"),
        (lambda: fail(OSError(errno.ENOSPC, "full")), "prepare needs more room than the disk has; got ", "FAILED"),
        (lambda: fail(PermissionError("no")), "a stage must be able to read its inputs", "FAILED"),
    ],
)
def test_how_a_stage_failed_is_one_line_and_in_its_record(
    tmp_path, monkeypatch, untracked, cause, said, status
) -> None:
    monkeypatch.setattr("slimgen.stages.bodies.prepare.prepare", lambda work: cause())
    (tmp_path / "data").mkdir()
    with pytest.raises(RunError) as raised:
        perform.perform("prepare", RECIPE, out=tmp_path / "out", data=tmp_path / "data")
    assert str(raised.value).startswith(said)
    assert read_record(tmp_path / "out")["status"] == status


def test_a_stage_that_a_signal_ended_was_killed_whatever_failed_because_of_it(tmp_path, monkeypatch, untracked) -> None:
    def body(work) -> dict[str, float]:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise RuntimeError("Connection closed by peer") from None  # as where another process was faster to end
        return {}

    monkeypatch.setattr("slimgen.stages.bodies.prepare.prepare", body)
    (tmp_path / "data").mkdir()
    with pytest.raises(Stopped), listening():
        perform.perform("prepare", RECIPE, out=tmp_path / "out", data=tmp_path / "data")
    assert read_record(tmp_path / "out")["status"] == "KILLED"
