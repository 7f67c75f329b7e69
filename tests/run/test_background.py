import threading
import time

import pytest

from slimgen.run import background as module
from slimgen.run.background import Background


def test_calls_are_made_in_order_and_answers_wait_for_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[str] = []
    background = Background(failed.append)
    made: list[int] = []
    for index in range(100):
        background.submit(lambda index=index: made.append(index))
    assert background.ask(lambda: list(made), 5) == list(range(100))
    background.stop()
    background.submit(lambda: made.append(-1))
    assert background.ask(lambda: 1, 5) is None
    assert made[-1] == 99
    assert failed == []


def test_the_first_failure_is_told_once_and_ends_it() -> None:
    failed: list[str] = []
    background = Background(failed.append)
    assert background.ask(lambda: 1 / 0, 5) is None
    assert background.ask(lambda: 1 / 0, 5) is None
    assert failed == ["ZeroDivisionError: division by zero"]
    assert not background.on


def test_a_call_that_hangs_is_waited_for_only_as_long_as_said() -> None:
    failed: list[str] = []
    background = Background(failed.append)
    release = threading.Event()
    start = time.monotonic()
    assert background.ask(lambda: release.wait(30), 1) is None
    assert 1 <= time.monotonic() - start < 6
    assert failed == ["no answer in 1 s"]
    release.set()


def test_too_many_waiting_calls_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[str] = []
    monkeypatch.setattr(module, "LIMIT", 10)
    background = Background(failed.append)
    release = threading.Event()
    for _ in range(15):
        background.submit(lambda: release.wait(30))
    release.set()
    assert failed == ["10 entries are waiting"]


def test_it_does_something_when_nothing_else_is_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.02)
    background = Background(lambda reason: None)
    idle = threading.Event()
    background.idle = idle.set
    background.submit(lambda: None)
    assert idle.wait(5)
    background.stop()
