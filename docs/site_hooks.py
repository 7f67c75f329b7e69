"""The parts of the site that are made from the code while it is built, so that they cannot go stale.

A page asks for a part by a comment of its own line, `<!-- make: NAME ARGUMENT ... -->`; the parts are the functions of
`PARTS` below. Read as plain Markdown, a page shows nothing in its place. A link to a file with `<!-- shown: FILE -->`
after it is a link there, and a box on the site that opens to the file, or to the section of it after a colon.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import site_drawings
import typer
from pydantic import BaseModel

from slimgen.cli.app import app
from slimgen.methods import keys_named, open_method
from slimgen.metrics.registry import METRICS, find
from slimgen.nets import DISCRIMINATORS, GENERATORS, keys_of_network
from slimgen.recipe import Recipe, load, presets
from slimgen.recipe.keys import OF_METHODS, Key, keys_of, shared_keys
from slimgen.recipe.validating import RENAMED
from slimgen.stages.table import STAGES

ROOT = Path(__file__).parents[1]
FOREIGN = re.compile(
    r"<(?:script|img|iframe|link rel=.stylesheet.)[^>]* (?:src|href)=.?(?P<address>(?:https?:)?//[^\"'> ]+)"
)
MARK = re.compile(r"^<!-- make: (?P<words>[^>]+?) -->$", re.MULTILINE)
SHOWN = re.compile(r"^\[`?(?P<title>[^]`]+)`?\]\([^)]+\) <!-- shown: (?P<file>\S+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the parts that a page asks for into it; MkDocs calls this for each page."""
    boxed = SHOWN.sub(lambda mark: box(mark["title"], mark["file"]), markdown)
    return MARK.sub(lambda mark: made(*mark["words"].split()), boxed)


def on_post_page(output: str, **_: Any) -> str:
    """Refuses a page that would load something from elsewhere."""
    if foreign := FOREIGN.search(output):
        raise ValueError(f"the site must work offline, but a page loads {foreign['address']}")
    return output


def box(title: str, file: str) -> str:
    """A box with this title that opens to a file, as code unless it is a section of Markdown."""
    included, suffix = f'--8<-- "{file}"', Path(file.partition(":")[0]).suffix[1:]
    lines = [included] if suffix == "md" else [f"```{suffix}", included, "```"]
    return "\n".join([f'??? {"info" if suffix == "md" else "example"} "{title}"', "", *(f"    {one}" for one in lines)])


def made(name: str, *arguments: str) -> str:
    """One part as Markdown."""
    return PARTS[name](*arguments)


def shared() -> str:
    """The sections that recipes of every method have: what each is, and its keys."""
    alone = [key for key in shared_keys() if "." not in key.name]
    blocks = ["## At the top", prose(Recipe), table_of(alone)]
    for name, field in Recipe.model_fields.items():
        model = field.annotation
        if name not in OF_METHODS and isinstance(model, type) and issubclass(model, BaseModel):
            blocks += [f"## {name}", prose(model), table_of(keys_of(model, f"{name}."))]
    return "\n\n".join(blocks)


def method(name: str) -> str:
    """A method's own sections: what each is, and its keys."""
    models: Mapping[str, type[BaseModel]] = open_method(name).SECTIONS  # type: ignore[attr-defined]
    blocks = []
    for section, model in models.items():
        keys = [key for key in keys_named(name) if key.name.startswith(f"{section}.")]
        blocks += [f"### Section {section}", prose(model), table_of(keys)]
    return "\n\n".join(blocks)


def networks(noun: str) -> str:
    """The families of generators, or of discriminators, with their options."""
    blocks = []
    for family in {"generator": GENERATORS, "discriminator": DISCRIMINATORS}[noun]:
        keys = keys_of_network(noun, family)
        blocks += [f"### {noun}: {family}", table_of(keys, anchors=f"{noun}.{family}.")]
    return "\n\n".join(blocks)


def commands() -> str:
    """Each command with its help, as the terminal shows it."""
    group = typer.main.get_command(app)
    blocks = []
    for words, command in _commands(group, ("slimgen",)):
        # At one width, whatever the terminal's is.
        context = command.make_context(" ".join(words), [], resilient_parsing=True, terminal_width=100)
        context.info_name = " ".join(words)
        blocks.append(f"## {' '.join(words)}\n\n```text\n{command.get_help(context).strip()}\n```")
    return "\n\n".join(blocks)


def _commands(command: Any, words: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*words, name))


def drawing(name: str) -> str:
    """A diagram: `stages`, `layers` or `loops`."""
    made_by: Callable[[], str] = getattr(site_drawings, name)
    return made_by()


def recipes(of: str = "") -> str:
    """The recipes that come with slimgen; of one method, or of all."""
    found = [one for one in map(load, presets()) if of in ("", one.method)]
    return table(("recipe", "task", "size", "about"), [(f"`{r.name}`", r.task, str(r.size), r.about) for r in found])


def stages() -> str:
    """The seven stages: what each reads and does."""
    rows = [(f"`{one.name}`", ", ".join(one.reads), one.about) for one in STAGES.values()]
    return table(("stage", "reads", "does"), rows)


def invalidating() -> str:
    """What of a recipe and of the code decides the result of each stage."""
    rows = [
        (f"`{one.name}`", ", ".join(map(_code, one.sections)), ", ".join(map(_code, one.code)))
        for one in STAGES.values()
    ]
    return table(("stage", "parts of the recipe", "code, so far as the recipe uses it"), rows)


def renamed() -> str:
    """Keys that had another name once."""
    rows = [(_code(old), _code(new.partition(": ")[0]), new.partition(": ")[2]) for old, new in RENAMED.items()]
    return table(("was", "is", "form"), rows)


def metrics() -> str:
    """The metrics that a recipe may name."""
    better = {"max": "higher", "min": "lower"}
    named = {name: name.replace("<name>", "NAME") for name in METRICS}
    return table(("metric", "better"), [(_code(name), better[find(name).goal]) for name in named.values()])


def file(name: str) -> str:
    """A file of the repository, whose links into docs/ become links of the site."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/", "](", text)


def table_of(keys: Iterable[Key], anchors: str = "") -> str:
    """Keys as a table, each with an anchor of its name."""
    rows = [
        (f'<code id="{anchors}{key.name}">{key.name}</code>', f"`{key.default}`", key.kind, key.meaning) for key in keys
    ]
    return table(("key", "default", "type", "meaning"), rows) if rows else "It has no keys."


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def prose(model: type) -> str:
    """A docstring up to its lists, without the name of the section that it begins with."""
    text = re.split(r"\n(?:Attributes|Raises|Args):\n", inspect.cleandoc(model.__doc__ or ""))[0]
    return text.strip()


def _code(text: str) -> str:
    return f"`{text}`"


PARTS: dict[str, Callable[..., str]] = {
    "commands": commands,
    "drawing": drawing,
    "file": file,
    "invalidating": invalidating,
    "method": method,
    "metrics": metrics,
    "networks": networks,
    "recipes": recipes,
    "renamed": renamed,
    "shared": shared,
    "stages": stages,
}
"""Name to the function that makes the part."""
