"""The server of a page: for this machine alone, with what a browser wants before it lends threads."""

import http.client
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slimgen.demo.server import HEADERS, LOOPBACK, serving
from slimgen.errors import RunError


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("served")
    folder = home / "page"
    (folder / "parts").mkdir(parents=True)
    for name in ("index.html", "page.js", "loader.mjs", "binary.wasm", "style.css", "demo.json", "net.onnx"):
        (folder / name).write_text(name)
    (home / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(home / "secret.txt")
    return folder


@pytest.fixture(scope="module")
def port(place) -> int:
    with serving(place, 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def ask(port: int, path: str, method: str = "GET", host: str = "") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    connection.request(method, path, headers={"Host": host or f"{LOOPBACK}:{port}"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/loader.mjs", "text/javascript; charset=utf-8"),
        ("/binary.wasm", "application/wasm"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/demo.json", "application/json"),
        ("/net.onnx", "application/octet-stream"),
    ],
)
def test_each_file_has_its_type_and_every_answer_the_headers(port, path, kind) -> None:
    answer, content = ask(port, path)
    assert answer.status == 200
    assert answer.getheader("Content-Type") == kind
    assert content == (path.removeprefix("/") or "index.html").encode()
    assert {name: answer.getheader(name) for name in HEADERS} == HEADERS
    assert answer.getheader("Cross-Origin-Opener-Policy") == "same-origin"
    assert answer.getheader("Cross-Origin-Embedder-Policy") == "require-corp"
    assert ask(port, path, "HEAD")[1] == b""


@pytest.mark.parametrize("path", ["/nothing", "/parts/", "/parts", "/../secret.txt", "/%2e%2e/secret.txt", "/link.txt"])
def test_nothing_else_is_shown(port, path) -> None:
    answer, content = ask(port, path)
    assert answer.status in (301, 404)
    assert b"secret" not in content.replace(b"secret.txt", b"")
    assert answer.getheader("Cross-Origin-Opener-Policy") == "same-origin"


def test_names_of_other_sites_and_other_methods_are_refused(port) -> None:
    assert ask(port, "/", host="evil.example")[0].status == 421
    assert ask(port, "/", host=f"evil.example:{port}")[0].status == 421
    assert ask(port, "/", host=f"localhost:{port}")[0].status == 200
    assert ask(port, "/", "POST")[0].status == 501


def test_it_listens_on_the_loopback_address_alone_and_a_taken_port_is_an_error(place, port) -> None:
    with pytest.raises(RunError, match=f"--port must be a free port; got {port}, which another program listens on"):
        serving(place, port)
    with serving(place, 0) as server:
        assert server.server_address[0] == LOOPBACK


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_ctrl_c_is_the_way_to_end_it_and_no_error(place, number, status) -> None:
    code = (
        "import sys; from pathlib import Path; from slimgen.cli.endings import ending\n"
        "from slimgen.demo.server import serve\n"
        "with ending('error'): serve(Path(sys.argv[1]), 0, lambda line: print(line, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    assert line.startswith(f"http://{LOOPBACK}:")
    assert "Ctrl-C ends it" in line
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    assert out.endswith("ended\n") == (number == signal.SIGINT)
