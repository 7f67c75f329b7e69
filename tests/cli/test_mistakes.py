"""What a newcomer types wrongly is answered in one line that says what to type instead."""

import shlex

import pytest
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.cli.group import INSPECT, SETTINGS, SINGLE, START
from slimgen.cli.options import EXAMPLE
from slimgen.recipe import load, presets
from slimgen.stages.checking import check

ANSWERS = {
    "run my.yaml": "cannot read the recipe my.yaml: no such file; check the path",
    "run conf/townhouses-cf_gan.yml": "did you mean 'townhouses-cf_gan', a preset?",
    "recipes foo": "there is no recipe 'foo', neither a preset nor a YAML file; slimgen recipes lists the presets",
    "run townhouses-cf_gan --device cuda": "no option --device; it is a setting of the recipe: write --set",
    "run townhouses-cf_gan --gpu": "--set compute.device=cuda",
    "teach --epochs 5": "slimgen teach has no option --epochs",
    "run townhouses-cf_gan --outt r": "did you mean '--out'?",
    "run --recipe townhouses-cf_gan": "the recipe stands alone: slimgen run RECIPE",
    "run townhouses-cf_gan two.yaml": "slimgen run has no place for two.yaml",
    "run": "slimgen run needs RECIPE; slimgen recipes lists the recipes",
    "run townhouses-cf_gan --set": "'--set' requires an argument",
    "run townhouses-cf_gan --set seed": "--set must be KEY=VALUE; got 'seed'; such as seed=1",
    "compare": "slimgen compare needs RUN; name run folders, or a folder of runs: slimgen compare runs",
    "compare nowhere": "there must be a finished run to compare; got nowhere, which is no folder; check the path",
    "train": "there is no command slimgen train; did you mean run or teach?",
    "evalute": "did you mean evaluate?",
    "data lst": "there is no command slimgen data lst; did you mean list?",
    "teach --recipe townhouses-cf_gan": "slimgen teach needs the run's folder; add --run RUN, or --prepare, --out",
    "teach --run runs/a": "no stage of runs/a has a recipe yet; add --recipe RECIPE",
    "profile": "slimgen profile needs FAMILY; try slimgen profile resnet",
    "profile unet --ngf abc": "unet: ngf: must be a whole number; got 'abc'",
    "run townhouses-cf_gan --set compute.device=cuda": "compute.device 'cuda' needs a GPU; got none on this machine",
    "run townhouses-cf_gan --set compute.device=cuda:1": "write cuda; CUDA_VISIBLE_DEVICES chooses among several",
    "run townhouses-cf_gan --set method=alphagan": "take a recipe of alphagan: ",
    "run townhouses-cf_gan --set objective=psnr": "objective: must be a section of keys; got 'psnr'; set objective",
    "run townhouses-cf_gan --set objective.metric=PSNR": "did you mean 'psnr'?",
    "run townhouses-cf_gan --set export.tolerance=0.001": "for the largest difference from the PyTorch network, write "
    "parity: 0.001",
    "run townhouses-cf_gan --set 'export.tolerance={fid: 1}'": "must name metrics of 'evaluate.metrics' (psnr, ssim, "
    "patch_swd), not 'fid'",
    "run townhouses-cf_gan --set 'export.tolerance={psnr: 0.1}'": "psnr must be at most 0, a change for the worse",
    "run townhouses-cf_gan --set export.static=[[1,2,2]]": "[1, 2, 2] must be a shape that generators take",
    "run townhouses-cf_gan --set export.static=[[1,0,64]]": "sides of 1 to 16384 px; got [1, 0, 64]",
    "run townhouses-cf_gan --set export.variants=[int4]": "must be 'fp32', 'fp16' or 'int8'; got 'int4'",
    "run townhouses-cf_gan --set updates=5": "did you mean teach.updates or finetune.updates?",
    "run flowers-co_evolution": "got no file weights/resnet20.pt; make one as examples/resnet20.py does",
}


@pytest.mark.parametrize("line", ANSWERS)
def test_a_mistake_is_answered_in_one_line_before_anything_is_written(line, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    said = CliRunner().invoke(app, shlex.split(line), prog_name="slimgen")
    assert said.exit_code == 2
    assert said.stderr.startswith("error: ")
    assert ANSWERS[line] in said.stderr
    assert said.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_settings_that_help_and_errors_name_are_taken(tmp_path) -> None:
    recipe = load("townhouses-cf_gan")
    for setting in {one for one in SETTINGS.values() if not one.startswith("teach.generator_checkpoint")}:
        check(recipe.override([setting]), complete=False)
    for name in presets():
        check(load(name).override([EXAMPLE]), complete=False)


def test_one_word_is_a_list_and_one_length_takes_the_place_of_the_other() -> None:
    recipe = load("townhouses-cf_gan")
    assert recipe.override(["evaluate.metrics=psnr, ssim"]).evaluate.metrics == ("psnr", "ssim")
    assert recipe.override(["finetune.rivals=random"]).finetune.rivals == ("random",)
    longer = recipe.override(["teach.epochs=2"]).teach
    assert (longer.updates, longer.epochs) == (None, 2)
    with pytest.raises(ValueError, match="exactly one of"):
        recipe.override(["teach.epochs=2", "teach.updates=2"])


def test_help_shows_every_command_in_its_group_and_cuts_none(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    shown = CliRunner().invoke(app, ["--help"], prog_name="slimgen").stdout
    assert "..." not in shown.partition(START)[2]
    assert max(map(len, shown.splitlines())) <= 80
    places = [shown.index(f"{title}:") for title in (START, SINGLE, INSPECT)]
    assert places == sorted(places)
    lines = shown.splitlines()
    titles = [f"{title}:" for title in (START, SINGLE, INSPECT)]
    rows = [line for line in lines[lines.index(titles[0]) :] if line and line not in titles]
    assert len(rows) == len(app.registered_commands) + len(app.registered_groups)  # each fits on a line
    run = CliRunner().invoke(app, ["run", "--help"], prog_name="slimgen").stdout
    for words in ("slimgen run townhouses-cf_gan", "--set compute.device=cuda", EXAMPLE):
        assert words in run
