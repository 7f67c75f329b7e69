"""Server of a page on this machine alone, with the headers that a browser wants before it lends threads to a page."""

import errno
import signal
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from slimgen.errors import RunError

LOOPBACK = "127.0.0.1"
HOSTS = (LOOPBACK, "localhost")
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src blob:; connect-src blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; media-src blob: mediastream:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
"""The first two isolate the page, so that its threads may share memory; the last keeps it from any other place."""
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


class Files(SimpleHTTPRequestHandler):
    """Answers to a browser of this machine: the files of a folder, and no listing of it."""

    extensions_map = TYPES
    server_version, sys_version = "slimgen", ""

    def do_GET(self) -> None:
        """Send a file."""
        if self._meant():
            super().do_GET()

    def do_HEAD(self) -> None:
        """Send the headers of a file."""
        if self._meant():
            super().do_HEAD()

    def list_directory(self, path: Any) -> None:
        """Refuse to list a folder."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """Send the headers of every answer, too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        """Print nothing: the terminal shows where the page is, and how to end."""

    def _meant(self) -> bool:
        """Return whether a request names this machine, and a file inside the folder; else answer that it does not."""
        host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host")
        if host not in HOSTS:  # a page of another site, whose name was made to lead here
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return False
        if not Path(self.translate_path(self.path)).resolve().is_relative_to(Path(self.directory).resolve()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        return True


def serving(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of a folder that listens on the loopback address; its method `serve_forever` answers.

    Args:
        folder: the page's folder.
        port: the port; 0 takes any free one.

    Raises:
        RunError: the port is taken, or not allowed.
    """
    ThreadingHTTPServer.daemon_threads = True
    try:
        return ThreadingHTTPServer((LOOPBACK, port), partial(Files, directory=str(folder)))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        got = f"{port}, which another program listens on" if taken else f"{port}: {error.strerror}"
        raise RunError("--port must be a free port", got, "name another, or 0 for any free one") from error


def serve(folder: Path, port: int, say: Callable[[str], None]) -> None:
    """Serve a page until Ctrl-C, which is the way to end it, and no error; other signals end the command as usual.

    Raises:
        RunError: the port is taken, or not allowed.
    """
    with serving(folder, port) as server:
        try:
            say(f"http://{LOOPBACK}:{server.server_address[1]}/ shows the page; Ctrl-C ends it")
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt as end:
            if getattr(end, "number", signal.SIGINT) != signal.SIGINT:
                raise
            say("ended")
