"""Code that decides a stage's result: formulas in use, without messages, comments and unused code."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from slimgen.recipe import Recipe, load, presets
from slimgen.stages.code import PACKAGE, code
from slimgen.stages.fingerprint import fingerprint, named_files, texts
from slimgen.stages.messages import without_messages
from slimgen.stages.table import STAGES

RECIPE = load("townhouses-cf_gan")
USED = set(texts(RECIPE.model_dump(mode="json")))
RESNET, SPADE, UNET = (f"nets/{family}/generator.py" for family in ("resnet", "spade", "unet"))


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("package") / "slimgen"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def package(copied):
    """Yield a copy of the package, and restore its edited files."""
    yield copied
    for path in copied.rglob("*.py"):
        whole = (PACKAGE / path.relative_to(copied)).read_bytes()
        if path.read_bytes() != whole:
            path.write_bytes(whole)


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.DOTALL)
    assert count == 1
    path.write_text(text)


def every(package: Path, used: set[str] = USED) -> dict[str, dict[str, str]]:
    return {name: code(stage, used, package) for name, stage in STAGES.items()}


def changed(package: Path, used: set[str] = USED) -> set[str]:
    """Return the stages that run again after an edit of the copy."""
    before, now = every(PACKAGE, used), every(package, used)
    return {name for name in STAGES if now[name] != before[name]}


def test_comments_docstrings_types_and_layout_leave_every_stage_finished(package: Path) -> None:
    for path in package.rglob("*.py"):
        path.write_text(f"# A comment.\n{path.read_text()}\n# The end.\n")
    edit(package / RESNET, r'(class ResnetGenerator.*?""")[^"]*', r"\1Other words.")
    edit(package / "training" / "fit.py", r'(def fit\(.*?""")[^"]*', r"\1Other words.")
    assert changed(package) == set()


def test_an_edited_message_leaves_every_stage_finished_and_another_class_of_error_does_not(package: Path) -> None:
    path = package / "nets" / "resnet" / "description.py"
    text = path.read_text()
    assert text.count("raise RecipeError(") > 1
    path.write_text(text.replace("raise RecipeError(", "raise RecipeError('in other words' + "))
    edit(package / "data" / "shapes.py", r"raise Rejected\(path, reason, \"", r"\g<0>in other words")
    edit(package / "data" / "label_maps.py", r"hint = f?\"", r"\g<0>in other words")
    edit(package / "tasks" / "channels.py", r"rule = f?\"", r"\g<0>in other words")
    assert changed(package) == set()
    path.write_text(text.replace("raise RecipeError(", "raise DataError(", 1))
    assert "teach" in changed(package)


MESSAGE = """
def checked(value):
    rule = f"must be {least} at least"
    if value < 1:
        raise ValueError(rule)
    return value


class Options:
    count: int = Field(description="how many", ge=1)
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("at least", "or more", True),
        ("how many", "the number", True),
        ("ge=1", "ge=2", False),
        ("< 1", "< 2", False),
        ("raise ValueError(rule)", "return rule", False),
    ],
)
def test_a_string_read_only_by_a_message_is_no_code(old: str, new: str, same: bool) -> None:
    kept, edited = (ast.unparse(without_messages(ast.parse(text))) for text in (MESSAGE, MESSAGE.replace(old, new)))
    assert (kept == edited) == same


def test_a_string_that_is_returned_too_is_code() -> None:
    returned = MESSAGE.replace("return value", "return rule, value")
    assert "at least" in ast.unparse(without_messages(ast.parse(returned)))
    inner = MESSAGE.replace("    return", "    class Inner:\n        rule = rule\n    return")
    assert "at least" in ast.unparse(without_messages(ast.parse(inner)))


@pytest.mark.parametrize("file", [SPADE, UNET, "methods/alphagan/__init__.py", "metrics/lpips.py", "tasks/unpaired.py"])
def test_code_of_another_family_task_method_or_metric_leaves_every_stage_finished(package: Path, file: str) -> None:
    path = package / file
    path.write_text(re.sub(r"\breturn\b (?!lambda)", "return None or ", path.read_text()))
    assert changed(package) == set()


@pytest.mark.parametrize(
    ("file", "anew"),
    [
        ("data/prepare_translation.py", {"prepare"}),
        ("tasks/paired.py", {"prepare", "teach", "supernet", "search", "finetune", "evaluate"}),
        ("tasks/translation.py", {"teach", "supernet", "search", "finetune", "evaluate"}),
        ("training/losses.py", {"teach", "supernet", "finetune"}),
        ("methods/cf_gan/__init__.py", {"supernet", "search", "finetune"}),
        ("metrics/psnr.py", {"search", "evaluate"}),
        ("export/onnx.py", {"evaluate", "export"}),
        ("export/card.py", {"export"}),
        ("report/pictures.py", {"evaluate"}),
    ],
)
def test_an_edited_formula_runs_the_stages_that_use_it_again(package: Path, file: str, anew: set[str]) -> None:
    path = package / file
    path.write_text(re.sub(r"\breturn\b (?!lambda)", "return None or ", path.read_text()))
    now = changed(package)
    assert anew <= now
    assert "prepare" not in now - anew


def test_an_edited_formula_of_the_family_in_use_runs_training_again(package: Path) -> None:
    edit(package / RESNET, r"(class ResnetGenerator.*?def forward.*?return )", r"\1not ")
    now = changed(package)
    assert {"teach", "evaluate"} <= now
    assert "prepare" not in now


def test_a_family_that_only_the_method_names_is_in_use(package: Path) -> None:
    used = set(texts(load("townhouses-alphagan").model_dump(mode="json")))
    edit(package / "nets" / "alphagan" / "generator.py", r"(def forward.*?return )", r"\1not ")
    assert "finetune" in changed(package, used)
    assert changed(package) == set()


def test_an_edited_report_template_runs_the_stages_that_fill_it_again(package: Path) -> None:
    template = package / "report" / "report.html"
    template.write_text(f"{template.read_text()}<p>more</p>")
    assert changed(package) == {"evaluate", "export"}
    shutil.copy(PACKAGE / "report" / template.name, template)


@pytest.mark.parametrize("name", presets())
def test_the_code_of_every_recipe_includes_its_task_method_and_families(name: str) -> None:
    recipe = load(name)
    used = set(texts(recipe.model_dump(mode="json")))
    assert f"slimgen.tasks:TASKS[{recipe.task}]" in code(STAGES["teach"], used)
    assert f"slimgen.nets:GENERATORS[{recipe.teach.generator['family']}]" in code(STAGES["teach"], used)
    for stage in ("supernet", "search", "finetune"):
        places = [place.rpartition(":") for place in code(STAGES[stage], used)]
        method = f"slimgen.methods.{recipe.method}"
        assert any(module.startswith(method) and name == stage for module, _, name in places)


def test_user_code_counts_for_the_stages_that_run_it(tmp_path, monkeypatch) -> None:
    (tmp_path / "users").mkdir()
    for name in ("task", "method", "metric", "net"):
        (tmp_path / "users" / f"{name}.py").touch()
    (tmp_path / "users" / "method.py").write_text("check = supernet = search = finetune = print\n")
    monkeypatch.syspath_prepend(tmp_path)

    def stages_of(**named: object) -> set[str]:
        values = {
            "name": "mine",
            "task": "paired",
            "method": "cf_gan",
            "teach": {"updates": 1},
            "finetune": {"updates": 1},
        }
        recipe = Recipe.from_values({**values, **named})
        return {name for name, stage in STAGES.items() if named_files(stage, recipe)}

    assert stages_of() == set()
    assert stages_of(task="users.task:Mine") >= {"prepare", "teach", "supernet", "search", "finetune", "evaluate"}
    assert stages_of(method="users.method") == {"supernet", "search", "finetune"}
    assert stages_of(objective={"metric": "users.metric:MINE"}) >= {"search", "evaluate"}
    network = {"updates": 1, "generator": {"family": "users.net:Mine"}}
    assert stages_of(teach=network) == set(STAGES) - {"prepare"}


def test_another_metric_in_the_table_leaves_search_and_training_finished() -> None:
    more = RECIPE.override(["evaluate.metrics=[psnr, lpips, 'examples.own_metric:GMSD']"])
    for name in ("search", "finetune", "evaluate"):
        anew = fingerprint(STAGES[name], more, {}, {}) != fingerprint(STAGES[name], RECIPE, {}, {})
        assert anew == (name == "evaluate")
