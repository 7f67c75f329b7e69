"""A trial run of a user's code before a run starts: imported, built and run in a separate process.

There it may fail in any way, end its process or hang; the caller gets an error of one line.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from slimgen.errors import RecipeError, SlimgenError, reason

SECONDS = 120.0
"""The most seconds that a probe may take: a network that needs longer for a few pictures cannot be trained."""
_HINT = "run it on its own to see why"


ANY = 0
"""A number of channels that is not known yet: in `given` the network's own, in `wanted` any."""


@dataclass(frozen=True)
class Probe:
    """The code to try: modules that must be importable, and a network with the shapes of its input and output.

    Attributes:
        modules: the modules that the recipe names, as (noun, import path).
        noun: `generator` or `discriminator`; empty where no network is tried.
        family: the network's import path.
        options: the network's options, as JSON.
        given: shape of one input picture (channels, height, width), or the length of the noise.
        wanted: shape of the picture that a generator must return; empty for any.
    """

    modules: tuple[tuple[str, str], ...] = ()
    noun: str = ""
    family: str = ""
    options: str = "{}"
    given: tuple[int, ...] = ()
    wanted: tuple[int, ...] = ()


@cache
def probed(probe: Probe, seconds: float = SECONDS) -> None:
    """Try a user's code, once in each process.

    Raises:
        RecipeError: the code cannot be imported, built or run, or breaks one of the rules for networks.
    """
    what = probe.family or " and ".join(path for _, path in probe.modules)
    with tempfile.TemporaryDirectory() as folder:
        answer, said = Path(folder) / "answer.json", Path(folder) / "stderr"
        request = json.dumps({"path": sys.path, "probe": asdict(probe), "answer": str(answer)})
        end = _end(request, said, seconds)
        if end is None:
            got = f"no result within {seconds:g} seconds, {_under_way(answer)}"
            raise RecipeError(f"{what!r} must finish when it is tried", got, _HINT)
        found = _read(answer)
        if "done" not in found:
            last = (said.read_text(errors="replace").strip().splitlines() or [""])[-1][:200]
            got = f"exit code {end}, {_under_way(answer)}"
            rule = f"{what!r} must not end its process"
            raise RecipeError(rule, f"{got}: {last}" if last else got, _HINT)
    if found["done"] == "unknown":
        attempt(probe, lambda doing: None)  # a module that was made in this process
    elif found["done"] is not None:
        raise RecipeError(**found["done"])


def _end(request: str, said: Path, seconds: float) -> int | None:
    """Run the probe in another process and its children; return its exit code, or None if it was stopped for time."""
    command = [sys.executable, "-m", "slimgen.nets.probe"]
    with (
        said.open("wb") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=_surroundings(),
            start_new_session=True,
        ) as process,
    ):
        try:
            process.communicate(request.encode(), timeout=seconds)
            return process.returncode
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _surroundings() -> dict[str, str]:
    """Return the environment of the other process: one thread, and the import path of this one."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _read(answer: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _under_way(answer: Path) -> str:
    return f"while {_read(answer).get('doing', 'starting')}"


def attempt(probe: Probe, tell: Callable[[str], None]) -> None:
    """Import, build and run the code in this process; `tell` is called with each step. Raises as `probed`."""
    from slimgen.imports import load, staying

    for noun, path in probe.modules:
        tell(f"importing {path}")
        load(noun, path)
    if probe.noun:
        with staying(probe.family):
            _try_network(probe, tell)


def _try_network(probe: Probe, tell: Callable[[str], None]) -> None:
    import torch

    from slimgen.nets import build_discriminator, build_generator
    from slimgen.nets.user_defined import taken

    tell(f"importing {probe.family}")
    options = json.loads(probe.options)
    build = build_generator if probe.noun == "generator" else build_discriminator
    tell("building it")
    net = _guarded(probe, "be built", lambda: build(probe.family, **options)).eval()
    given = (taken(net, probe.family, options), *probe.given[1:]) if probe.given[0] == ANY else probe.given
    probe = replace(probe, given=given)
    tell(f"running it on {_words(probe.given)}")
    drawn = torch.Generator().manual_seed(0)
    pictures = torch.randn((2, *probe.given), generator=drawn).clamp_(-1, 1)
    shown = pictures.clone()
    with torch.no_grad():
        alone = _answer(probe, net, shown[:1])
        if not torch.equal(shown, pictures):
            raise _fault(probe, "leave its input unchanged", "a changed input", "compute on a copy, not in place")
        again, both = _answer(probe, net, pictures[:1].clone()), _answer(probe, net, pictures.clone())
    if not torch.allclose(alone, again, rtol=1e-3, atol=1e-4):
        hint = "draw nothing at random in evaluation mode"
        raise _fault(probe, "return the same output twice for one input, in evaluation mode", "another output", hint)
    if not torch.allclose(alone, both[:1], rtol=1e-2, atol=1e-2 * float(alone.abs().max()) + 1e-4):
        hint = "mix nothing across the batch in evaluation mode"
        raise _fault(probe, "return the same output for a picture in a batch as for it alone", "another output", hint)
    tell("computing its gradients")
    out = _guarded(probe, "run in training", lambda: net.train()(pictures.clone()))
    if not (isinstance(out, torch.Tensor) and out.requires_grad):
        got = "an output without gradients" if any(True for _ in net.parameters()) else "a network without parameters"
        raise _fault(probe, "be trainable", got, "detach nothing, and register layers as modules")
    if out.shape != both.shape:
        got = f"{tuple(out.shape)}, not {tuple(both.shape)}"
        raise _fault(probe, "return the same shape in training mode as in evaluation mode", got)
    if not bool(out.isfinite().all()):
        raise _fault(probe, "return finite numbers in training mode", "NaN or infinity")


def _answer(probe: Probe, net: Any, given: Any) -> Any:
    """Return a network's output after checking that it is a finite tensor of the right type and shape."""
    import torch

    made = _guarded(probe, f"take {_words(probe.given)}", lambda: net(given))
    if not isinstance(made, torch.Tensor):
        kind = f"a {type(made).__name__}" if made is not None else "None"
        raise _fault(probe, "return one tensor", kind, "return the pictures alone")
    if not made.dtype.is_floating_point:
        raise _fault(probe, "return floating-point numbers", str(made.dtype))
    wanted = probe.wanted
    if wanted and wanted[0] == ANY and made.dim() == 4:
        wanted = (made.shape[1], *wanted[1:])
    if len(made) != len(given) or (wanted and tuple(made.shape[1:]) != wanted):
        hint = "the task needs this many pictures of this size: choose another size or task, or pad the output"
        raise _fault(probe, f"map {_words(probe.given)} to {_words(wanted)}", f"{tuple(made.shape)}", hint)
    if not bool(made.isfinite().all()):
        raise _fault(probe, "return finite numbers", "NaN or infinity with its initial weights")
    return made


def _guarded(probe: Probe, must: str, run: Callable[[], Any]) -> Any:
    try:
        return run()
    except SlimgenError:
        raise
    except SystemExit as error:
        raise _fault(probe, "not end its process", f"sys.exit({error})") from error
    except Exception as error:  # a user's network may raise anything
        raise _fault(probe, must, f"{type(error).__name__}: {reason(error)}") from error


def _fault(probe: Probe, must: str, got: str, hint: str | None = None) -> RecipeError:
    return RecipeError(f"the {probe.noun} {probe.family!r} must {must}", got, hint)


def _words(shape: Sequence[int]) -> str:
    if len(shape) == 1:
        return f"noise of length {shape[0]}"
    return f"pictures of {' x '.join(map(str, shape if shape[0] != ANY else shape[1:]))}"


def _probe(values: Mapping[str, Any]) -> Probe:
    modules = tuple((noun, path) for noun, path in values["modules"])
    return Probe(**{**values, "modules": modules, "given": tuple(values["given"]), "wanted": tuple(values["wanted"])})


def _main() -> None:
    """Run in the other process: read the probe from stdin and write the outcome to a file."""
    request = json.loads(sys.stdin.read())
    sys.path[:] = request["path"]
    answer, probe = Path(request["answer"]), _probe(request["probe"])

    def write(**found: object) -> None:
        answer.write_text(json.dumps(found), encoding="utf-8")

    done: object = None
    try:
        attempt(probe, lambda doing: write(doing=doing))
    except SlimgenError as error:
        missing = error.__cause__
        names = {path.partition(":")[0] for path in (probe.family, *(path for _, path in probe.modules))}
        unknown = isinstance(missing, ModuleNotFoundError) and missing.name in names
        got = None if error.got is None else str(error.got)
        done = "unknown" if unknown else {"rule": error.rule, "got": got, "hint": error.hint}
    write(done=done)


if __name__ == "__main__":
    _main()
