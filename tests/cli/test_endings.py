"""However a command ends, it is one line and a status, and never a traceback."""

import ast
import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import slimgen
from slimgen import errors
from slimgen.cli import endings, streams
from slimgen.cli.app import app
from slimgen.errors import RecipeError
from slimgen.run import tracking
from slimgen.run.record import read_record
from slimgen.stopping import Stopped
from townhouses import write

ENDINGS = {
    "a user's fault": (RecipeError("a rule", "this"), 2, "error: a rule; got this."),
    "Ctrl-C": (Stopped(signal.SIGINT), 130, "interrupted; run the same command again to go on"),
    "a key, heard by nobody": (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on"),
    "SIGTERM": (Stopped(signal.SIGTERM), 143, "ended by SIGTERM; run the same command again to go on"),
    "SIGHUP": (Stopped(signal.SIGHUP), 129, "ended by SIGHUP; run the same command again to go on"),
    "no memory": (MemoryError(), 2, "error: this command needs more memory than this process may use"),
    "a full disk": (OSError(errno.ENOSPC, "full"), 2, "error: this command needs more room than the disk has"),
    "no permission": (PermissionError(errno.EACCES, "no", "x"), 2, "error: files must be readable and writable"),
    "a foreign end": (SystemExit(0), 2, "error: code that slimgen calls must return; got sys.exit(0)"),
    "a foreign end without a status": (SystemExit(), 2, "error: code that slimgen calls must return"),
    "a bug": (TypeError("of\nlines"), 1, "error: a fault in slimgen, or in code that it calls: TypeError: of"),
    "a depth": (RecursionError("too deep"), 1, "error: a fault in slimgen"),
    "a sign": (UnicodeEncodeError("ascii", "é", 0, 1, "no"), 1, "error: a fault in slimgen"),
}


@pytest.mark.parametrize("kind", ENDINGS)
@pytest.mark.parametrize("where", ["in a command", "while it loads"])
def test_whatever_ends_a_command_is_one_line_and_a_status(kind, where, tmp_path, monkeypatch, capsys) -> None:
    error, status, line = ENDINGS[kind]
    if where == "while it loads" and isinstance(error, SystemExit):
        pytest.skip("which is how the command line itself ends")
    monkeypatch.setattr(endings.tempfile, "tempdir", str(tmp_path))

    def fail(*_: object) -> None:
        raise error

    if where == "in a command":
        monkeypatch.setattr("slimgen.recipe.presets", fail)
        ended = CliRunner().invoke(app, ["recipes"])
        found, said = ended.exit_code, ended.stderr
    else:
        monkeypatch.setattr(endings.atexit, "register", lambda call: None)
        with pytest.raises(SystemExit) as raised, endings.ending("error"):
            fail()
        found, said = raised.value.code, capsys.readouterr().err
    assert found == status
    assert said.startswith(line)
    assert said.count("\n") == 1
    reports = list(tmp_path.glob("slimgen-*.txt"))
    assert len(reports) == (status == 1)
    for report in reports:
        assert str(report) in said
        assert f"{type(error).__name__}:" in report.read_text()
        assert "in fail" in report.read_text()


def test_a_report_of_a_bug_holds_no_password(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(endings.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@host")
    assert endings.tell(TypeError("cannot reach http://me:hunter2@host with hunter2")) == 1
    (report,) = tmp_path.iterdir()
    assert "hunter2" not in report.read_text() + capsys.readouterr().err


def test_debug_shows_a_bug_whole(monkeypatch) -> None:
    monkeypatch.setattr("slimgen.recipe.presets", lambda: 1 / 0)
    assert isinstance(CliRunner().invoke(app, ["--debug", "recipes"]).exception, ZeroDivisionError)


# Where something else than a SlimgenError is raised: what becomes of it.
ELSEWHERE = {
    "a SlimgenError of pydantic's errors": [
        "recipe/sections.py",
        "recipe/trainings.py",
        "recipe/__init__.py",
        "size.py",
        *("methods/*/options.py", "methods/co_evolution/roulette.py"),
    ],
    "caught beside": [
        *("report/table.py", "search/explore.py", "search/trial.py", "run/checkpoint.py", "run/log.py", "imports.py"),
        *("export/axes.py", "export/converting/converters/*.py", "__init__.py"),
        *(
            "data/download.py",
            "data/images.py",
            "data/bands.py",
            "run/tracking.py",
            "nets/co_evolution/dependencies.py",
        ),
    ],
    "a mistake of whoever calls the library, of which no recipe or file can be the cause": [
        *("training/draws.py", "stages/__init__.py", "stages/perform.py", "search/space.py", "search/genotype.py"),
        *("methods/relaxation_trace.py", "files.py", "export/tiled.py"),
    ],
    "how the command line ends": ["cli/*.py", "stopping.py"],
}
KNOWN = {name for name, kind in vars(errors).items() if isinstance(kind, type)} | {"ShortageError", "SpaceError"}
KNOWN |= {"Rejected", "ClusterError"}  # of the data set, and of pipelines/


def raised(path: Path) -> list[str]:
    """The names of what a module raises, but for what it catches and passes on."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            called = node.exc.func
            found.append(called.id if isinstance(called, ast.Name) else getattr(called, "attr", "?"))
    return found


def test_every_error_that_is_raised_is_a_users_line_or_goes_no_further() -> None:
    core = Path(slimgen.__file__).parent
    allowed = {path for globs in ELSEWHERE.values() for glob in globs for path in core.glob(glob)}
    modules = [*core.rglob("*.py"), *Path("pipelines").glob("*.py"), *Path("components").glob("*.py")]
    strange = {
        f"{path}: {name}"
        for path in modules
        for name in raised(path)
        # Functions that make an error are named in small letters; what they make is checked where they are written.
        if name not in KNOWN and name[:1].isupper() and path not in allowed
    }
    assert not strange
    assert len(modules) > 150


CALL = [sys.executable, "-m", "slimgen"]


@pytest.mark.parametrize(("words", "status"), [(("recipes",), 2), (("data", "list"), 2), (("--version",), 0)])
def test_output_cut_by_a_full_disk_is_an_error_and_output_that_nobody_read_is_none(words, status) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*CALL, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == status
    assert "only a part of the output reached stdout" in done.stderr
    with subprocess.Popen([*CALL, *words], stdout=-1, stderr=-1, text=True) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == ("", 0)


def test_a_run_whose_lines_go_nowhere_computes_as_any_other(tmp_path) -> None:
    write(tmp_path / "images", seed=0, train=4, test=2, size=32)
    words = "run", "townhouses-cf_gan", "--data", "images", "--out", "r", "--until", "prepare"
    words += "--set", "size=32", "--set", "data.validation=1"
    surroundings = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": "error"}
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(
            [*CALL, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env={**endings.os.environ, **surroundings},
        )
        process.stderr.close()  # as `2>&1 | head -1` does after a line
        assert process.wait(120) == 0
    assert read_record(tmp_path / "r" / "prepare")["finished"]


def test_signs_that_an_encoding_lacks_are_replaced_and_names_escaped(tmp_path) -> None:
    with open(tmp_path / "out", "w", encoding="ascii") as file:
        stream = streams._stream(file, file.fileno())
        print("✓ PSNR ↑ é \udcff", file=stream, flush=True)
        stream.detach()
    assert (tmp_path / "out").read_text() == "+ PSNR ^ \\xe9 \\udcff\n"


def test_names_of_files_give_a_terminal_no_orders(tmp_path) -> None:
    folder = tmp_path / "set"
    write(folder, seed=0, train=2, test=1, size=32)
    (folder / "train" / "\x1b[31mred\u202e[bold].png").write_bytes(b"none")
    said = CliRunner().invoke(app, ["data", "check", str(folder)]).stdout
    assert "\\x1b[31mred\\u202e[bold].png" in said
    assert "\x1b" not in said
    nowhere = CliRunner().invoke(app, ["data", "check", "\x1b]0;title\x07"])
    assert nowhere.stderr.count("\n") == 1
    assert "\x1b" not in nowhere.stderr


def test_the_pages_are_told_of_a_store_where_no_list_of_processes_shows_its_password(monkeypatch) -> None:
    began = []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:hunter2@host/db")
    mlflow = ("BACKEND_STORE_URI", "REGISTRY_STORE_URI", "DISABLE_TELEMETRY", "SERVER_ENABLE_JOB_EXECUTION")
    for name in ("PYTHONWARNINGS", *(f"MLFLOW_{word}" for word in mlflow)):
        monkeypatch.setenv(name, "")  # to be as it was, afterwards
        monkeypatch.delenv(name)
    monkeypatch.setattr(tracking, "create_store", lambda: None)
    monkeypatch.setattr("slimgen.cli.ui.os.execv", lambda program, words: began.append(words))
    said = CliRunner().invoke(app, ["ui"])
    assert said.exit_code == 0
    assert "shows postgresql://host/db" in said.stderr
    assert "hunter2" not in said.stderr + " ".join(began[0])
    assert endings.os.environ["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:hunter2@host/db"
    assert endings.os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"  # whose workers stay behind
    assert "starlette" in endings.os.environ["PYTHONWARNINGS"]
