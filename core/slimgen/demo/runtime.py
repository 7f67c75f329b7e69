"""onnxruntime-web, the runtime of the page: one pinned version, fetched by the user's own npm, and checked."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slimgen.errors import RunError
from slimgen.files import write_bytes

NAME, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Digest of the package of this version, as npm writes it into lock files."""
FILES = {
    "dist/ort.wasm.min.js": "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    "dist/ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "dist/ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "dist/ort.webgpu.min.js": "7d65dad7eb4564ad98db9924a259af2e2c68ebfbdbf254fa5d728f1c5736e07a",
    "dist/ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "dist/ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
"""The files of the package that a page needs, and the sha256 of each in this version."""
BUILDS = {
    "wasm": ("dist/ort.wasm.min.js", "dist/ort-wasm-simd-threaded.mjs", "dist/ort-wasm-simd-threaded.wasm"),
    "webgpu": (
        "dist/ort.webgpu.min.js",
        "dist/ort-wasm-simd-threaded.asyncify.mjs",
        "dist/ort-wasm-simd-threaded.asyncify.wasm",
    ),
}
"""Interface, loader and binary of each build; the second is twice as large, and computes on a GPU as well."""
LARGEST = 64 * 2**20
"""Most bytes of one file of the package; the largest that is needed has 27 MB."""
SECONDS = 600
"""Time limit of npm."""
_OWN = f"or name a package that you have: --runtime {NAME}-{VERSION}.tgz"


@dataclass(frozen=True)
class Runtime:
    """Files of a package by name, its version, and a note for the user if it is not the pinned one."""

    version: str
    files: Mapping[str, bytes]
    note: str = ""


def find_runtime(given: Path | None = None, say: Callable[[str], None] = lambda line: None) -> Runtime:
    """Return the runtime: of a package that the user brought, or the pinned one of the cache or of npm.

    Args:
        given: a package of npm as a file (.tgz), or the folder of an installed one.
        say: prints a line for the user.

    Raises:
        RunError: there is no such package, npm cannot fetch it, it is not the pinned one, or lacks a file.
    """
    if given is not None:
        return _brought(given)
    package = cache() / f"{NAME}-{VERSION}.tgz"
    content = package.read_bytes() if package.is_file() else b""
    if integrity(content) != INTEGRITY:  # none there, or a damaged one
        say(f"fetching {NAME} {VERSION} by npm, once for all pages")
        content = _packed()
        package.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(package, content)
    return _opened(content, package)


def cache() -> Path:
    """Return the folder of what is fetched once: `slimgen` in XDG_CACHE_HOME, by default in ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "slimgen"


def integrity(content: bytes) -> str:
    """Return the digest of a package in npm's notation."""
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def _packed() -> bytes:
    """Return the pinned package as the user's npm fetches it, from where the user has configured it to."""
    rule, asked = f"the page needs {NAME} {VERSION}", f"npm pack {NAME}@{VERSION}"
    npm = shutil.which("npm")
    if npm is None:
        raise RunError(rule, "no npm on this machine", f"install Node.js, {_OWN}, which `{asked}` makes elsewhere")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{NAME}@{VERSION}", "--ignore-scripts", "--silent", "--pack-destination", folder]
        try:
            said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise RunError(rule, f"no answer from npm in {SECONDS} s", f"try `{asked}` elsewhere, {_OWN}") from None
        made = sorted(Path(folder).glob("*.tgz"))
        if said.returncode or len(made) != 1:
            lines = [line for line in said.stderr.splitlines() if line.strip()] or [f"exit status {said.returncode}"]
            raise RunError(rule, f"from npm: {lines[0][:200]}", f"try `{asked}` where npm works, {_OWN}")
        content = made[0].read_bytes()
    if integrity(content) != INTEGRITY:
        raise RunError(f"{NAME} {VERSION} must have the integrity {INTEGRITY}", integrity(content), _OWN)
    return content


def _brought(given: Path) -> Runtime:
    """Return the runtime of a package that the user names."""
    if given.is_dir():
        folder = given / "node_modules" / NAME
        folder = folder if folder.is_dir() else given / "package" if (given / "package").is_dir() else given
        found = {name: path.read_bytes() for name in (*FILES, "package.json") if (path := folder / name).is_file()}
        return _checked(found, given)
    if not given.is_file():
        raise RunError(f"--runtime must be the folder or the file of a package {NAME}", f"{given}, which is neither")
    return _opened(given.read_bytes(), given)


def _opened(content: bytes, place: Path) -> Runtime:
    """Return the runtime in a packed package: regular files of known names and of limited size, and nothing else."""
    wanted, found = {f"package/{name}": name for name in (*FILES, "package.json")}, {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                name = wanted.get(member.name)
                file = archive.extractfile(member) if name and member.isreg() and member.size <= LARGEST else None
                if name and file is not None:
                    found[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise RunError(f"{place} must be a package of npm", error, f"bring the file of `npm pack {NAME}`") from error
    return _checked(found, place)


def _checked(found: dict[str, bytes], place: Path) -> Runtime:
    """Return the runtime of these files, after comparing those of the pinned version with their sha256."""
    try:
        about = json.loads(found.pop("package.json", b"{}"))
        name, version = about.get("name"), str(about.get("version"))
    except (ValueError, AttributeError):
        name, version = None, ""
    if name != NAME:
        raise RunError(
            f"{place} must be a package {NAME}", f"one named {name!r}" if name else "no package.json with that name"
        )
    missing = [file for file in FILES if file not in found]
    if missing:
        raise RunError(f"{NAME} {version} in {place} must have {', '.join(missing)}", "a package without", _OWN)
    if version != VERSION:
        return Runtime(version, found, f"the page is tried with {NAME} {VERSION}, and {place} is {version}")
    for file, digest in FILES.items():
        if hashlib.sha256(found[file]).hexdigest() != digest:
            raise RunError(f"{file} of {NAME} {VERSION} must be as it was published", f"another one in {place}", _OWN)
    return Runtime(version, found)
