import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import slimgen
from slimgen.api import Run
from slimgen.errors import RunError
from slimgen.recipe import Recipe


def examples(text: str | None) -> list[str]:
    """The indented blocks of a docstring."""
    blocks = re.findall(r"\n\n((?: {4,}.*\n|\n)+)", text or "")
    return ["\n".join(line[4:] for line in block.splitlines()) for block in blocks]


def test_importing_slimgen_and_searching_imports_neither_torch_nor_mlflow() -> None:
    names = "Space Choice Evolution explore Recipe load presets run open_run Run SlimgenError"
    code = (
        f"import sys, slimgen\nassert 'slimgen.search' not in sys.modules\n"
        f"for name in {names.split()}: getattr(slimgen, name)\nslimgen.load('pairs-cf_gan')\n"
        f"print(*{{'torch', 'mlflow', 'onnx', 'onnxruntime', 'matplotlib', 'kfp', 'dvc'}} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""


def test_every_name_is_there_typed_and_documented() -> None:
    tree = ast.parse(Path(slimgen.__file__).read_text())
    [typed] = [node for node in tree.body if isinstance(node, ast.If)]
    assert sorted(name.name for node in typed.body for name in node.names) == sorted(slimgen.__all__)
    assert set(slimgen.__all__) <= set(dir(slimgen))
    assert all(getattr(slimgen, name).__doc__ for name in slimgen.__all__)
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        _ = slimgen.serch


def test_run_is_the_function_wherever_its_folder_of_modules_was_imported() -> None:
    code = "import slimgen.run.record, slimgen; print(slimgen.run.__module__, slimgen.run.__name__)"
    said = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["slimgen.api", "run"]


def test_the_search_of_the_documentation_runs_in_seconds_and_keeps_its_budget(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(examples(slimgen.__doc__)[0], "example", "exec"), names)
    trials = names["trials"]
    assert len(trials) == 200
    assert all(names["budget"].allows(trial.costs) for trial in trials)
    assert slimgen.best(trials, names["objective"]).quality["width"] > max(t.quality["width"] for t in trials[:20])
    assert "Trial(genotype=" in capsys.readouterr().out


def test_values_are_replaced_by_key_as_texts_or_as_they_are() -> None:
    recipe = slimgen.load("pairs-cf_gan")
    assert recipe.replaced({"search.evaluations": 4, "data.load": [72, 96], "size": [64, 85]}) == recipe.override(
        ["search.evaluations=4", "data.load=[72, 96]", "size=[64, 85]"]
    )
    with pytest.raises(slimgen.SlimgenError, match="did you mean 'search'"):
        recipe.replaced({"serch.evaluations": 4})


def test_a_folder_without_stages_is_no_run_and_what_is_not_finished_is_named(tmp_path) -> None:
    with pytest.raises(RunError, match="must hold a finished stage"):
        slimgen.open_run(tmp_path)
    empty = Run(tmp_path)
    assert empty.stages == {}
    assert empty._repr_markdown_() == f"{tmp_path.name}: nothing finished"
    for read in (lambda: empty.onnx, lambda: empty.genotype, lambda: empty.generator(), lambda: empty.recipe):
        with pytest.raises(RunError, match=r"(export|search|finetune|prepare) of .* must be finished; run the recipe"):
            read()


def test_recipes_are_taken_by_name_file_and_as_they_are(tmp_path, monkeypatch) -> None:
    given = []
    monkeypatch.setattr("slimgen.stages.perform.run", lambda recipe, **more: given.append((recipe, more)))
    recipe = slimgen.load("pairs-cf_gan")
    (tmp_path / "mine.yaml").write_text("extends: pairs-cf_gan\nseed: 3\n")
    slimgen.run("pairs-cf_gan", data="images")
    slimgen.run(tmp_path / "mine.yaml", set={"budget.macs": "1/16"}, name="n")
    done = slimgen.run(recipe, out=tmp_path / "out", set=["seed=5"])
    assert slimgen.run(recipe, quick=True).folder == Path("runs/pairs-cf_gan-quick")
    assert given.pop()[0].quick
    assert [(one.name, one.seed, one.budget.macs) for one, _ in given] == [
        ("pairs-cf_gan", 0, "1/8"),
        ("mine", 3, "1/16"),
        ("pairs-cf_gan", 5, "1/8"),
    ]
    assert [more["out"] for _, more in given] == [Path("runs/pairs-cf_gan"), Path("runs/mine"), tmp_path / "out"]
    assert given[0][1]["data"] == Path("images")
    assert given[1][1]["name"] == "n"
    assert done == Run(tmp_path / "out")
    assert isinstance(recipe, Recipe)
