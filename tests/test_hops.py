"""A reader who follows a command to what it is for passes few frames."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_few_frames_lie_between_a_command_and_a_generator_or_a_score() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.hops"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
