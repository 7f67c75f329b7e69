"""Calls made one after the other in a thread of their own, until the first one fails."""

import http.client
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

T = TypeVar("T")
TICK = 5.0  # seconds between the calls of `idle`
LIMIT = 20_000  # calls that may wait


class Background:
    """A thread that makes calls in the order given, so that a slow server slows nothing down but itself.

    The first call that raises, or that nobody can wait for any longer, ends it: `failed` hears one reason, once, and
    whatever comes later is dropped.

    Args:
        failed: called with the reason.
        alive: whether it is worth waiting on for the other side; asked every two seconds of waiting.
    """

    def __init__(self, failed: Callable[[str], None], alive: Callable[[], bool] = lambda: True) -> None:
        self.on = True
        self.idle: Callable[[], None] = lambda: None
        self._failed, self._alive = failed, alive
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._done = 0
        # A daemon: a call that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="slimgen-tracker", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], object]) -> None:
        """Makes the call some time later, after those before it."""
        if self.on and self._jobs.qsize() >= LIMIT:
            self.stop(f"{LIMIT} entries are waiting")
        if self.on:
            self._jobs.put(call)

    def ask(self, call: Callable[[], T], patience: float) -> T | None:
        """Makes the call after those before it, and waits for what it returns.

        Args:
            call: what to do.
            patience: seconds to wait without any call being completed.

        Returns:
            What the call returned; None if it failed, or if the other side is gone or too slow.
        """
        answer: list[T] = []
        ready = threading.Event()

        def job() -> None:
            try:
                answer.append(call())
            finally:
                ready.set()

        self.submit(job)
        done, since = self._done, time.monotonic()
        while self.on and not ready.wait(2.0):
            if self._done != done:
                done, since = self._done, time.monotonic()
            elif time.monotonic() - since > patience:
                self.stop(f"no answer in {patience:.0f} s")
            elif not self._alive():
                self.stop("it does not answer")
        return answer[0] if answer else None

    def stop(self, reason: str | None = None) -> None:
        """Ends it without waiting; what was not yet called never will be."""
        with self._lock:
            first, self.on = self.on, False
        self._jobs.put(lambda: None)  # wakes the thread
        if first and reason is not None:
            self._failed(" ".join(reason.split())[:200])

    def _work(self) -> None:
        last = time.monotonic()
        while self.on:
            try:
                job = self._jobs.get(timeout=TICK)
            except queue.Empty:
                job = self.idle
            try:
                if self.on:
                    job()
                if self.on and time.monotonic() - last > TICK:
                    self.idle()
                    last = time.monotonic()
            except Exception as error:  # whatever a server or its client comes up with
                self.stop(f"{type(error).__name__}: {error}")
            self._done += 1


def reachable(address: str, seconds: float = 2.0) -> bool:
    """Whether an HTTP server answers at all, be it with an error; in bounded time, also where names are not found.

    Args:
        address: `http://` or `https://`, then host, port and path.
        seconds: the longest it may take.
    """
    answered = []
    parts = urlsplit(address)
    # A user and password in the address are for the client; nobody needs them to knock.
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/") + "/health", "", ""))

    def knock() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds):
                answered.append(True)
        except urllib.error.HTTPError:
            answered.append(True)  # it is there, and speaks
        except (OSError, ValueError, http.client.HTTPException) as error:
            # A certificate that Python does not know may still be good for the client, which has its own settings.
            if "CERTIFICATE" in str(error).upper():
                answered.append(True)

    thread = threading.Thread(target=knock, name="slimgen-knock", daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answered)
