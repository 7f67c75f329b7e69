"""Download a large file over HTTP, going on where an earlier attempt stopped."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from slimgen.addresses import shown, told
from slimgen.errors import DataError
from slimgen.files import publish, read_json, sha256_file, write_json
from slimgen.shortage import free, full, shortage

Progress = Callable[[int, int | None], None]
"""Function called with the bytes so far and the total, None if the server does not give it."""
CHUNK = 1 << 18


def download(url: str, path: Path, *, attempts: int = 5, pause: float = 2.0, progress: Progress | None = None) -> str:
    """Download a file over http or https; an incomplete one stays in `<path>.partial` and is resumed.

    The rest is requested by Range with the server's validator of the existing part (If-Range), so a file that has
    changed is downloaded from the beginning and never joined from two versions.

    The download fails after `attempts` in a row without any bytes; the `pause` between them, in seconds, doubles each
    time. Returns the SHA-256 of the file in hexadecimal.

    Raises:
        DataError: the address is no http address, the server refuses, or the connection keeps failing.
        ShortageError: the disk has too little room; the received part is kept.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError("an address must begin with http:// or https://", repr(shown(url)))
    partial, note = path.with_name(path.name + ".partial"), path.with_name(path.name + ".partial.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while True:
        before = _length(partial)
        try:
            if _receive(url, partial, note, progress):
                break
            fault: Exception = ConnectionError("the connection was cut")
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise DataError(f"cannot download {shown(url)}: HTTP {error.code} {error.reason}") from error
            fault = error
        except (HTTPException, OSError) as error:
            if short := shortage(error, f"downloading {path.name}", path.parent):
                raise short from error
            fault = error
        failures = 0 if _length(partial) > before else failures + 1
        if failures >= attempts:
            hint = "the same command resumes the download" if _length(partial) else "check the connection"
            failed = f"{attempts} attempts failed, the last with {told(fault, url)}"
            raise DataError(f"cannot download {shown(url)}: {failed}", None, hint) from fault
        time.sleep(pause * 2 ** max(0, failures - 1))
    digest = sha256_file(partial)
    publish(partial, path)
    note.unlink(missing_ok=True)
    return digest


def _receive(url: str, partial: Path, note: Path, progress: Progress | None) -> bool:
    """Make one attempt; return whether the file is complete."""
    have, kept = _length(partial), read_json(note)
    # The server's validator for the version of the existing part.
    validator = str(kept.get("validator", "")) if isinstance(kept, dict) and kept.get("url") == shown(url) else ""
    headers = {"User-Agent": "slimgen", "Accept-Encoding": "identity"}
    if have and validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    try:
        response: HTTPResponse
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as response:
            length = response.headers.get("Content-Length")
            if response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                start = have
            elif response.status == 200:
                start = 0
                # Weak validators do not promise equal bytes, so two parts cannot be joined by them.
                tag = response.headers.get("ETag", "")
                strong = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
                partial.unlink(missing_ok=True)
                write_json(note, {"url": shown(url), "validator": strong})
            else:
                raise ConnectionError(f"the server answered {response.status} with another range than requested")
            done, total = start, None if length is None else start + int(length)
            if total is not None and total - start > free(partial.parent):
                raise full(f"downloading {partial.stem}", partial.parent)
            with partial.open("ab" if start else "wb") as file:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(done, total)
            return total is None or done == total
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        partial.unlink(missing_ok=True)  # the existing part is longer than the file: begin again
        return False


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
