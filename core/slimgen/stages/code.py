"""Code that decides a stage's result: all that its body reaches, except comments, docstrings, messages, positions.

Names are followed from definition to definition, through imports; of a registry, only the entries in use count. So an
edit elsewhere in a file, or in the file of another family, task, method or metric, leaves a finished stage finished.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import slimgen
from slimgen.files import sha256_file
from slimgen.stages.messages import message_of, without_messages
from slimgen.stages.table import Stage

PACKAGE = Path(slimgen.__file__).parent
REGISTRIES = ("DISCRIMINATORS", "FAMILIES", "GENERATORS", "METHODS", "METRICS", "TASKS")
"""Dict literals of which only the entries in use count, each by its name."""

_PATH = re.compile(r"(slimgen(?:\.\w+)+):?(\w*)")
_SILENT = ("ctx", "kind", "returns", "type_comment")
Place = tuple[str, str]
"""A module, and a name in it: of a function, class or value; empty for statements that run at every import."""


@dataclass
class Definition:
    """The syntax that one name stands for.

    Attributes:
        text: the syntax, as words.
        names: names in it, each with the attribute that is read from it, or nothing.
        strings: the texts in it.
        imports: its own imports: names to places.
        entries: of a registry, each entry by its key.
    """

    text: list[str] = field(default_factory=list)
    names: set[tuple[str, str]] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    imports: dict[str, Place] = field(default_factory=dict)
    entries: dict[str, "Definition"] = field(default_factory=dict)

    def read(self, node: ast.AST) -> None:
        """Add a piece of syntax, without parts that change no result: docstrings and types of arguments."""
        if isinstance(node, ast.ImportFrom):
            self.imports |= _imported(node)
            return
        if _is_text(node):
            return
        if raised := message_of(node):
            self.text.append(f"Raise({raised})")
            return
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            self.names.add((node.value.id, node.attr))
        elif isinstance(node, ast.Name):
            self.names.add((node.id, ""))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.strings.add(node.value)
        self.text.append(f"{type(node).__name__}(")
        for name, value in ast.iter_fields(node):
            if value is None or value == [] or name in _SILENT or (name == "annotation" and isinstance(node, ast.arg)):
                continue
            self.text.append(f"{name}=")
            if name == "annotation":  # a field of a record: the annotation counts, not the definitions behind it
                self.text.append(ast.dump(value))
                continue
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    self.read(part)
                else:
                    self.text.append(repr(part))
        self.text.append(")")

    def enter(self, node: ast.AST | None) -> None:
        """Add the entries of a registry."""
        for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant):
                self.entries[str(key.value)] = entry = Definition()
                entry.read(value)


@dataclass
class Module:
    """The definitions of a file by name, and the places of its imports."""

    definitions: dict[str, Definition] = field(default_factory=lambda: {"": Definition()})
    imports: dict[str, Place] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """The files of slimgen, looked for once: looking anew for each name would take most of the time.

    Attributes:
        package: the folder of slimgen.
        names: every module and package.
        files: the modules whose code decides the stage's result.
        read: the parsed ones among these.
    """

    package: Path
    names: frozenset[str]
    files: Mapping[str, Path]
    read: dict[str, Module] = field(default_factory=dict)

    @classmethod
    def of(cls, package: Path, stage: Stage) -> "Sources":
        """List the files of a stage's rooms, and the names of all modules."""
        rooms = (*stage.code, f"stages/bodies/{stage.name}.py")
        names, files = {"slimgen"}, {}
        for path in package.rglob("*.py"):
            place = path.relative_to(package)
            parts = place.parent.parts if path.name == "__init__.py" else place.with_suffix("").parts
            name = ".".join(("slimgen", *parts))
            names |= {name, name.rpartition(".")[0]}
            if any(place.as_posix() == room or place.as_posix().startswith(f"{room}/") for room in rooms):
                files[name] = path
        return cls(package, frozenset(names), files)

    def parsed(self, module: str) -> Module | None:
        """Return the definitions of a module, if its code decides the stage's result."""
        if module not in self.files:
            return None
        if module not in self.read:
            self.read[module] = _parsed(self.files[module].read_text(encoding="utf-8"))
        return self.read[module]


def code(stage: Stage, used: Iterable[str], package: Path = PACKAGE) -> dict[str, str]:
    """Return the digest of every definition that decides a stage's result, by module and name.

    Args:
        stage: the stage to begin at, with the rooms to search.
        used: texts of a recipe, which include the names of families, tasks, methods and metrics.
        package: the folder of slimgen.
    """
    before, now, sources = set[str](), set(used), Sources.of(package, stage)
    while before != now:
        before = now
        reached = _reached(stage, before, sources)
        # A method names the families that it builds.
        methods = [one for (module, _), one in reached.items() if module.startswith("slimgen.methods")]
        now = before.union(*(one.strings for one in methods))
    templates = [path for room in stage.code for path in (package / room).rglob("*.html")]
    return {path.name: sha256_file(path) for path in templates} | {
        f"{module}:{name}": hashlib.sha256(" ".join(one.text).encode()).hexdigest()
        for (module, name), one in sorted(reached.items())
    }


def digest_code(path: Path) -> str:
    """Return the digest of a file of a user's code, without comments, docstrings and layout if it is Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return sha256_file(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.AST) -> bool:
    """Return whether a statement is a docstring, or another constant without effect."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _reached(stage: Stage, used: set[str], sources: Sources) -> dict[Place, Definition]:
    """Return the definitions that a stage's body reaches, given the names in use."""
    reached: dict[Place, Definition] = {}
    # The body gets its task and method from its arguments.
    roots = f"slimgen.stages.bodies.{stage.name}:{stage.name}", "slimgen.tasks:TASKS", "slimgen.methods:METHODS"
    waiting: list[Place] = [(module, name) for module, _, name in (root.partition(":") for root in roots)]
    while waiting:
        module, name = place = waiting.pop()
        parsed = sources.parsed(module)
        if parsed is None or place in reached:
            continue
        if name == "*":
            waiting += [(module, each) for each in parsed.definitions]
        elif name in parsed.imports:
            waiting.append(_target(*parsed.imports[name], "", sources))
        elif name in parsed.definitions:
            one = reached[place] = parsed.definitions[name]
            waiting += [(module, ""), *_uses(module, one, parsed, stage, sources)]
            for key in used & set(one.entries):
                entry = reached[module, f"{name}[{key}]"] = one.entries[key]
                waiting += _uses(module, entry, parsed, stage, sources)
    return reached


def _uses(module: str, one: Definition, parsed: Module, stage: Stage, sources: Sources) -> Iterator[Place]:
    """Yield the places that a definition names."""
    imports = {**parsed.imports, **one.imports}
    for name, attribute in one.names:
        if name in imports:
            yield _target(*imports[name], attribute, sources)
        elif name in parsed.definitions:
            yield module, name
    for text in one.strings:
        if path := _PATH.fullmatch(text):
            # A class method, such as a task's `prepare`, does not need the rest of its class.
            alone, file = f"{path[2]}.{stage.name}", sources.parsed(path[1])
            known = file is not None and alone in file.definitions
            yield path[1], alone if known else path[2] or stage.name


def _target(module: str, name: str, attribute: str, sources: Sources) -> Place:
    """Return the place of an import: a name of a module, or an attribute of a module, or all of it."""
    inner = f"{module}.{name}"
    return (inner, attribute or "*") if inner in sources.names else (module, name)


@cache
def _parsed(text: str) -> Module:
    """Return a file's definitions; each text is parsed once per process."""
    module = Module()
    for node in without_messages(ast.parse(text)).body:
        if isinstance(node, ast.ImportFrom):
            module.imports |= _imported(node)
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            named = list(_named(node))
            one = Definition() if named else module.definitions[""]
            if set(named) & set(REGISTRIES) and isinstance(node, ast.Assign | ast.AnnAssign):
                one.enter(node.value)
            else:
                one.read(node)
            module.definitions |= dict.fromkeys(named, one)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and "classmethod" in map(ast.unparse, member.decorator_list):
                    module.definitions[f"{node.name}.{member.name}"] = method = Definition()
                    method.read(member)
    module.definitions.pop("__all__", None)
    return module


def _named(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def _imported(node: ast.ImportFrom) -> dict[str, Place]:
    """Return names and the places in slimgen that they come from."""
    if not (node.module or "").startswith("slimgen"):
        return {}
    return {alias.asname or alias.name: (str(node.module), alias.name) for alias in node.names}
