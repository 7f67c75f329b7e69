"""Signals that end a run: obeyed between two steps, whatever a library makes of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from slimgen import stopping
from slimgen.stopping import SIGNALS, Stopped, asked, heed, held, listening


@pytest.fixture(autouse=True)
def _plain_signals():
    """As a process has them that was started in the foreground; and as they were, afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def listened(work: Callable[[], None]) -> Stopped:
    """The signal that ended a function."""
    with pytest.raises(Stopped) as stopped, listening(), listening():
        work()
    return stopped.value


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_stopped_and_the_old_handlers_come_back(number) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]

    def work() -> None:
        send(number)
        time.sleep(5)

    assert listened(work).number == number
    assert [signal.getsignal(one) for one in SIGNALS] == before
    assert not asked()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_held_signal_waits_for_the_end_of_the_block(number) -> None:
    done = []

    def work() -> None:
        with held():
            with held():
                send(number)
                done.append(asked())
            done.append("whole")
        done.append("never")

    assert listened(work).number == number
    assert done == [True, "whole"]


def test_a_signal_that_a_library_swallows_is_raised_again() -> None:
    def work() -> None:
        with suppress(BaseException):  # as finalizers and imports do
            send(signal.SIGTERM)
        heed()

    assert listened(work).number == signal.SIGTERM


def test_a_failure_after_a_signal_becomes_stopped_and_any_other_stays() -> None:
    def work() -> None:
        try:
            send(signal.SIGTERM)
        except Stopped:
            raise ImportError("cut short") from None

    assert listened(work).number == signal.SIGTERM
    with pytest.raises(ImportError), listening():
        raise ImportError("of its own")


def test_signals_that_a_process_was_started_to_ignore_stay_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    with listening():
        send(signal.SIGHUP)
        assert not asked()


BUSY = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
from slimgen.stopping import held, listening
with listening(), held():
    print("busy", flush=True)
    time.sleep(0.6)  # interrupted by a signal, and slept on
    time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (("SIGINT", stopping.AGAIN + 0.1, "SIGINT"), 130),  # at once
        (("SIGTERM", stopping.AGAIN + 0.1, "SIGINT"), 143),
    ],
)
def test_a_second_interrupt_ends_a_process_at_once_without_a_traceback(sent, status) -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY, "60"], stdout=-1, stderr=-1, text=True) as process:
        process.stdout.readline()
        for one in sent:
            process.send_signal(getattr(signal, one)) if isinstance(one, str) else time.sleep(one)
        _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert said.split("\n")[1:] == ["interrupted twice; run the same command again to go on", ""]


def test_a_signal_passed_on_by_a_parent_does_not_count_as_a_second_one() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY, "0"], stdout=-1, stderr=-1, text=True) as process:
        process.stdout.readline()
        for one in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(one)
            time.sleep(0.02)
        _, said = process.communicate(timeout=30)
    assert "twice" not in said
    assert "Stopped: SIGINT" in said  # raised where `held` ended, for whoever listens


STARTED = """
import subprocess, sys
code = "import time; from slimgen.stopping import listening\\nwith listening():\\n"
code += " print('on', flush=True); time.sleep(60)"
subprocess.run(["sh", "-c", '"$0" -c "$1"; echo after a shell', sys.executable, code])
"""


def test_a_process_of_a_pipeline_ends_with_it_even_behind_a_shell(monkeypatch) -> None:
    monkeypatch.setenv("SLIMGEN_STARTER", "pipelines")
    with subprocess.Popen([sys.executable, "-c", STARTED], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "on\n"
        process.kill()
        # The pipes are closed when the last process that has them is gone.
        said, failed = process.communicate(timeout=30)
    assert said == "after a shell\n"
    assert "Stopped: SIGTERM" in failed


def test_a_signal_is_passed_on_to_a_child_that_is_waited_for() -> None:
    def work() -> None:
        command = [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)"]
        with stopping.passing_on(), subprocess.Popen(command, stdout=-1) as child:
            child.stdout.readline()
            started.append(child)
            send(signal.SIGTERM)

    started = []
    assert listened(work).number == signal.SIGTERM
    assert started[0].returncode == -signal.SIGTERM
