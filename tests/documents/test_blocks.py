"""The documents' own code: Python blocks are run, commands are parsed by the real command line, short ones are run."""

import json
import re
import shlex
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.recipe import load, presets

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>sh|python)\n(?P<code>.*?)^ *```$", re.DOTALL | re.MULTILINE)
TRAINS = "slimgen.run("  # a block with it takes minutes: it is compiled, and not run
SHORT = ("recipes", "spaces", "profile", "data list", "data townhouses", "compare")
FOREIGN = ("hf", "docker", "git", "cd", "pip", ".", "source", "export", ".venv/bin/pre-commit")
"""What begins a line that is not slimgen's to check."""


def blocks(page: Path, language: str) -> list[str]:
    found = [block for block in FENCE.finditer(page.read_text()) if block["language"] == language]
    return ["\n".join(line.removeprefix(b["indent"]) for line in b["code"].splitlines()) for b in found]


def commands(page: Path) -> list[list[str]]:
    """The words of each command, without comments, prompts, and variables that are set before it."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in line.removeprefix("$ ").split(" && ")]
    split = [shlex.split(part.partition(" > ")[0], comments=True) for part in parts]
    bare = [[word for n, word in enumerate(words) if n or not re.fullmatch(r"[A-Z_]+=.*", word)] for words in split]
    return [words for words in bare if words]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def place(tiny_run, tmp_path, monkeypatch) -> Path:
    """A working folder with a finished run under the name that the documents give it, and the examples."""
    (tmp_path / "runs").mkdir()
    for name in ("townhouses-cf_gan", "seed-0", "seed-1", "mine"):
        (tmp_path / "runs" / name).symlink_to(tiny_run)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=named)
def test_python_blocks_run_in_the_order_of_their_page(page: Path, place: Path) -> None:
    names: dict[str, object] = {}
    for number, code in enumerate(blocks(page, "python"), 1):
        compiled = compile(code, f"{named(page)}, block {number}", "exec")
        if TRAINS in code:
            print(f"only compiled: {named(page)}, block {number}")
        else:
            exec(compiled, names)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=named)
def test_commands_are_those_of_the_command_line_and_short_ones_run(page: Path, place: Path) -> None:
    done: set[str] = set()
    for words in commands(page):
        line = shlex.join(words)
        if line in done or words[0] in FOREIGN:
            continue
        done.add(line)
        if words[0] == "slimgen":
            parsed(app, "slimgen", words[1:])
            check_recipe(words[1:])
            if is_short(words[1:]):
                said = CliRunner().invoke(app, words[1:])
                assert said.exit_code == 0, f"{line}: {said.stderr}"
                continue
        elif words[0] == "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert {word for word in words[1:] if "=" not in word} <= set(targets), line
        elif words[0] == "dvc":
            from dvc.cli.parser import get_main_parser

            get_main_parser().parse_args(words[1:])
        else:
            assert words[:2] == ["python", "-m"], f"{line}: is it a command that a reader has?"
            check_module(words[2], words[3:])
        print(f"only parsed: {line}")


def parsed(what: typer.Typer, name: str, words: list[str]) -> None:
    """Reads a command line as the program would; raises a UsageError where it cannot."""
    command, context = typer.main.get_command(what), None
    while hasattr(command, "resolve_command"):
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
        name, command, words = command.resolve_command(context, words)
        assert command is not None, f"no command {name}"
    with suppress(typer.Exit):  # of --help
        command.make_context(name, list(words), parent=context)


def check_recipe(words: list[str]) -> None:
    """Reads the recipe that a command names, with the values that it sets."""
    known = [word for word in words if word in presets() or (word.endswith(".yaml") and (ROOT / word).is_file())]
    if words[0] != "run" or not known:
        return
    settings = [value for option, value in pairwise(words) if option == "--set"]
    recipe = load(known[0] if known[0] in presets() else str(ROOT / known[0]))
    assert recipe.override(settings) if settings else recipe


def is_short(words: list[str]) -> bool:
    """Whether a command takes a moment."""
    line = " ".join(words)
    return "--dry-run" in words or line.startswith(SHORT)


def check_module(module: str, words: list[str]) -> None:
    """Whether there is such a program, with such options."""
    if module == "pipelines":
        from pipelines.__main__ import app as pipelines

        parsed(pipelines, module, words)
        return
    spec = find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None
    path = Path(spec.origin)
    source = "".join(p.read_text() for p in (path, path.with_name("__main__.py")) if p.is_file())
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in source, f"{module} has no option {option}"


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=named)
def test_links_lead_to_files_of_the_repository_and_to_headings_in_them(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in headings(target), link


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles}


def test_every_file_of_a_run_is_described(tiny_run: Path) -> None:
    told = re.findall(r"`([^`]+)`", (ROOT / "docs" / "reference" / "files.md").read_text())
    patterns = [re.escape(name.rstrip("/")).replace("NAME", r"\w+").replace(r"\*", ".*") for name in told]
    for path in tiny_run.rglob("*"):
        if path.is_file() and path.parent.parent == tiny_run:
            split = re.sub(r"^(val|test)\.", "train.", path.name)
            assert any(re.fullmatch(pattern, split) for pattern in patterns), path.relative_to(tiny_run)


def test_each_file_of_figures_has_its_paragraph_among_the_results() -> None:
    text = (ROOT / "docs" / "results.md").read_text()
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert json.loads(path.read_text())["command"] in text, path.name


def test_files_are_included_by_lines_that_the_site_understands_and_readers_of_the_file_can_follow() -> None:
    pages = sorted((ROOT / "docs").rglob("*.md"))
    included = [(page, line) for page in pages for line in page.read_text().splitlines() if "<!-- shown:" in line]
    assert len(included) > 10
    for page, line in included:
        found = re.fullmatch(r"\[[^]]+\]\((\S+)\) <!-- shown: ([^\s:]+)(?::(\S+))? -->", line)
        assert found, line
        link, file, section = found.groups()
        assert (page.parent / link).resolve() == ROOT / file
        assert section is None or f"[start:{section}]" in (ROOT / file).read_text(), line
    assert not any(line.startswith(("--8", "??? ")) for page in pages for line in page.read_text().splitlines())
