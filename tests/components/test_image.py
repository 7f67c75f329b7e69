import fnmatch
import re
import shlex
from pathlib import Path

from components.image import image, revision, tag

ROOT = Path(__file__).resolve().parents[2]


def instructions():
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]


def test_the_tag_carries_version_and_revision():
    assert tag("0.1.0", "2fc2908b0f27") == "0.1.0-2fc2908b0f27"


def test_the_tag_of_a_local_version_holds_only_what_a_tag_may_hold():
    assert re.fullmatch(r"[\w][\w.-]{0,127}", tag("0.1.0+cpu", "2fc2908b0f27-dirty"))


def test_without_git_the_tag_is_the_version_alone(tmp_path):
    assert revision(tmp_path) == ""
    assert tag("0.1.0", "") == "0.1.0"


def test_an_empty_environment_variable_does_not_name_the_image(monkeypatch):
    monkeypatch.setenv("SLIMGEN_IMAGE", " ")
    assert image().startswith("slimgen:")


def test_everything_the_dockerfile_copies_is_there_and_is_let_through_by_dockerignore():
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert ignore[0] == "*"
    copies = [rest for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    sources = [source for rest in copies for source in shlex.split(rest)[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        around = [source, *map(str, Path(source).parents)]  # a folder that is let through is so with all in it
        assert any(fnmatch.fnmatch(one, pattern) for one in around[:-1] for pattern in allowed), source


def test_the_image_runs_as_a_numbered_user_who_is_not_root():
    last = [rest for name, rest in instructions() if name == "USER"][-1]
    assert int(last.partition(":")[0]) > 0


def test_the_image_is_built_from_tested_versions_without_tools_for_tests():
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert any("--constraint constraints.txt" in line and "[kubeflow]" in line for line in installs)
    assert not any(extra in line for line in installs for extra in ("test", "lint", "dvc"))
