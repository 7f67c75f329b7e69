"""What is installed: the built wheel, its contents and its metadata."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

import slimgen
from slimgen.cli.endings import EXTRAS, tell
from slimgen.recipe import presets

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel, built from a copy of the sources, by the setuptools that is there."""
    source = tmp_path_factory.mktemp("source")
    for folder in ("core", "components", "pipelines"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / file, source)
    code = "import setuptools.build_meta as backend; print(backend.build_wheel('.'))"
    said = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return zipfile.ZipFile(source / said.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def test_the_wheel_holds_code_recipes_the_template_and_the_mark_of_types_and_nothing_else(wheel) -> None:
    names = set(wheel.namelist())
    installed = {name for name in names if ".dist-info/" not in name}
    there = {
        str(path.relative_to(root))
        for root, folders in ((ROOT / "core", ("slimgen", "townhouses")), (ROOT, ("components", "pipelines")))
        for folder in folders
        for path in (root / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert installed == there
    assert {f"slimgen/recipes/{name}.yaml" for name in presets()} | {"slimgen/py.typed"} <= installed
    assert {name.partition("/")[0] for name in installed} == {"slimgen", "townhouses", "components", "pipelines"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_version_is_written_in_one_place_and_the_papers_of_all_methods_are_cited(metadata) -> None:
    assert metadata["Version"] == slimgen.__version__
    assert "version" not in PROJECT
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == slimgen.__version__
    assert re.search(rf"^## {re.escape(slimgen.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    from slimgen.methods import METHODS

    methods = {one["notes"].removeprefix("The method ").rstrip(".") for one in cited["references"]}
    assert methods == set(METHODS) - {"adopted"}


def test_nothing_is_pinned_and_every_extra_can_be_asked_for(metadata) -> None:
    wanted = metadata.get_all("Requires-Dist")
    assert not [line for line in wanted if "==" in line.partition(";")[0]]
    assert metadata.get_all("Provides-Extra") == list(PROJECT["optional-dependencies"])
    assert set(EXTRAS.values()) <= set(PROJECT["optional-dependencies"])
    plain = {re.split(r"[\[<>=;]", line)[0] for line in wanted if "extra ==" not in line}
    assert not plain & {*EXTRAS, "pytest", "ruff", "gitpython"}


def test_a_package_that_is_missing_is_one_line_with_the_extra_that_installs_it(capsys) -> None:
    for name, extra in EXTRAS.items():
        assert tell(ModuleNotFoundError(f"No module named '{name}.dsl'", name=f"{name}.dsl")) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"pip install 'slimgen[{extra}]'" in said


def test_the_pipelines_say_what_to_install_where_kubeflow_is_missing() -> None:
    code = (
        "import sys; sys.modules['kfp'] = None\nimport runpy; sys.argv[1:] = ['compile']\n"
        "runpy.run_module('pipelines', run_name='__main__')"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1].endswith("pip install 'slimgen[kubeflow]' installs it.")
