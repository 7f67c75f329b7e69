"""What of the code decides a stage's result: formulas in use, and neither words nor what is not in use."""

import re
import shutil
from pathlib import Path

import pytest

from slimgen.recipe import Recipe, load, presets
from slimgen.stages.code import PACKAGE, code
from slimgen.stages.fingerprint import fingerprint, named_files, texts
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
    """A copy of the package, whose edited files are put back."""
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
    """The stages that an edit of the copy would compute anew."""
    before, now = every(PACKAGE, used), every(package, used)
    return {name for name in STAGES if now[name] != before[name]}


def test_comments_docstrings_types_and_layout_leave_every_stage_finished(package: Path) -> None:
    for path in package.rglob("*.py"):
        path.write_text(f"# A comment.\n{path.read_text()}\n# The end.\n")
    edit(package / RESNET, r'(class ResnetGenerator.*?""")[^"]*', r"\1Other words.")
    edit(package / "training" / "fit.py", r'(def fit\(.*?""")[^"]*', r"\1Other words.")
    assert changed(package) == set()


def test_the_words_of_an_error_leave_every_stage_finished_and_where_it_is_raised_does_not(package: Path) -> None:
    path = package / "nets" / "resnet" / "description.py"
    text = path.read_text()
    assert text.count("raise RecipeError(") > 1
    path.write_text(text.replace("raise RecipeError(", "raise RecipeError('in other words' + "))
    assert changed(package) == set()
    path.write_text(text.replace("raise RecipeError(", "raise DataError(", 1))
    assert "teach" in changed(package)


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
def test_a_formula_in_use_computes_anew_the_stages_that_it_decides(package: Path, file: str, anew: set[str]) -> None:
    path = package / file
    path.write_text(re.sub(r"\breturn\b (?!lambda)", "return None or ", path.read_text()))
    now = changed(package)
    assert anew <= now
    assert "prepare" not in now - anew


def test_a_formula_of_the_family_in_use_trains_anew(package: Path) -> None:
    edit(package / RESNET, r"(class ResnetGenerator.*?def forward.*?return )", r"\1not ")
    now = changed(package)
    assert {"teach", "evaluate"} <= now
    assert "prepare" not in now


def test_a_family_named_by_a_method_alone_is_in_use(package: Path) -> None:
    used = set(texts(load("townhouses-alphagan").model_dump(mode="json")))
    edit(package / "nets" / "alphagan" / "generator.py", r"(def forward.*?return )", r"\1not ")
    assert "finetune" in changed(package, used)
    assert changed(package) == set()


def test_a_template_of_the_report_is_looked_at(package: Path) -> None:
    (template,) = (package / "report").glob("*.html")
    template.write_text(f"{template.read_text()}<p>more</p>")
    assert changed(package) == {"evaluate"}
    shutil.copy(PACKAGE / "report" / template.name, template)


@pytest.mark.parametrize("name", presets())
def test_every_recipe_comes_to_its_task_its_method_and_its_families(name: str) -> None:
    recipe = load(name)
    used = set(texts(recipe.model_dump(mode="json")))
    assert f"slimgen.tasks:TASKS[{recipe.task}]" in code(STAGES["teach"], used)
    assert f"slimgen.nets:GENERATORS[{recipe.teach.generator['family']}]" in code(STAGES["teach"], used)
    for stage in ("supernet", "search", "finetune"):
        places = [place.rpartition(":") for place in code(STAGES[stage], used)]
        method = f"slimgen.methods.{recipe.method}"
        assert any(module.startswith(method) and name == stage for module, _, name in places)


def test_a_users_code_counts_for_the_stages_that_run_it(tmp_path, monkeypatch) -> None:
    (tmp_path / "users").mkdir()
    for name in ("task", "method", "metric", "net"):
        (tmp_path / "users" / f"{name}.py").touch()
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


def test_another_metric_of_the_table_leaves_what_was_searched_and_trained_finished() -> None:
    more = RECIPE.override(["evaluate.metrics=[psnr, lpips, 'examples.own_metric:GMSD']"])
    for name in ("search", "finetune", "evaluate"):
        anew = fingerprint(STAGES[name], more, {}, {}) != fingerprint(STAGES[name], RECIPE, {}, {})
        assert anew == (name == "evaluate")
