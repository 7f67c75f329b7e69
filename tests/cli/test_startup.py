import signal
import subprocess
import sys
import time

import pytest

HEAVY = {"torch", "torchvision", "mlflow", "kfp", "dvc", "matplotlib", "scipy", "numpy", "onnx", "onnxruntime", "PIL"}
CALL = """
import sys
from slimgen.cli import main
sys.argv = ["slimgen", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def loaded(*words):
    """The packages in memory after a command."""
    done = subprocess.run([sys.executable, "-c", CALL, *words], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["teach", "--help"], ["--version"]])
def test_help_imports_nothing_slow(words):
    assert not loaded(*words) & (HEAVY | {"yaml", "rich", "jinja2"})


@pytest.mark.parametrize("words", [["recipes"], ["recipes", "townhouses-cf_gan"], ["recipes", "--json"]])
def test_recipes_are_read_without_torch(words):
    assert not loaded(*words) & HEAVY


def test_an_interrupted_command_says_how_to_resume(tmp_path):
    words = "data", "townhouses", str(tmp_path / "a"), "--train", "100000", "--test", "1", "--size", "32"
    # Where the tests run in the background of a shell, they, and what they start, are told to ignore the key.
    call = [sys.executable, "-c", f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{CALL}"]
    with subprocess.Popen([*call, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 30
        while not list(tmp_path.glob("a/train/*.png")) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert "interrupted; run the same command again to go on" in said
    assert "AssertionError: 130" in said  # the status, as CALL reports it
