"""The page in a real browser, opened from the file system: what it computes is what onnxruntime computes in Python."""

import base64
import io
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from slimgen.data.bicubic import imresize
from slimgen.data.label_maps import edges
from slimgen.export.tiled import enlarge
from slimgen.files import read_json
from tests.demo.page import Opened, expected, part

KINDS = ("drawings", "photographs", "labels", "upscale", "noise")
AXES = {"rtol": 0, "atol": 1e-3}
INT8 = 0.1
"""Largest mean difference of int8: a processor without VNNI saturates where a browser does not."""


def opened(browser, pages, kind: str, **options) -> Opened:
    return Opened(browser, (pages(kind)[1] / "index.html").as_uri(), **options)


def require_alike(page: Opened, folder, direction: str = "forward", place: int = 0) -> None:
    given = page.given(place)
    for model in page.models():
        made, wanted = page.made(model, place), expected(part(folder, f"{direction}-{model}"), given)
        assert made.shape == wanted.shape
        if model == "int8":
            assert np.abs(made - wanted).mean() < INT8
        else:
            np.testing.assert_allclose(made, wanted, **AXES)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_at_any_width_without_an_error_a_request_or_a_sideways_scroll(browser, pages, kind, width) -> None:
    with opened(browser, pages, kind, width=width, scheme="dark" if width < 400 else "light") as page:
        assert page.errors == []
        folder = pages(kind)[1].resolve().as_uri()
        assert [url for url in page.requests if not url.startswith((f"{folder}/", "blob:", "data:"))] == []
        assert page.overflow() <= 0
        assert page.page.locator("#said").inner_text() == ""
        rows = page.page.locator("tbody tr").all_inner_texts()
        assert len(rows) == len(page.models())
        assert all(" ms" in row for row in rows)
        assert "1 thread;" in page.page.locator("#line").inner_text()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "upscale"])
def test_every_network_returns_what_onnxruntime_returns(browser, pages, kind) -> None:
    with opened(browser, pages, kind) as page:
        assert page.models()[0] == "original"
        assert "fp32" in page.models()
        require_alike(page, pages(kind)[1])


def test_a_sample_is_given_as_the_run_prepared_it(browser, pages) -> None:
    run, _ = pages("drawings")
    sample = np.load(run / "prepare" / "test.input.npy")[1]
    with opened(browser, pages, "drawings") as page:
        page.page.locator(".strip button").nth(1).click()
        page.ready()
        np.testing.assert_allclose(page.given()[0], sample.transpose(2, 0, 1) / np.float32(127.5) - 1, atol=1e-6)
        assert page.page.locator('figure[data-name="target"]').is_visible()


def test_a_stroke_changes_what_it_covers_and_undo_brings_the_sample_back(browser, pages) -> None:
    with opened(browser, pages, "drawings") as page:
        before, drawing = page.given(), page.page.locator("canvas.map")
        page.page.locator(".colours button").nth(2).click()
        colour = page.page.evaluate("demo.config.directions[0].palette[2].colour")
        box = drawing.bounding_box()
        page.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
        page.page.mouse.down()
        page.page.mouse.move(box["x"] + 3 * box["width"] / 4, box["y"] + box["height"] / 2, steps=5)
        page.page.mouse.up()
        page.ready()
        after, level = page.given(), np.array(colour, np.float32) / 127.5 - 1
        changed = (after != before).any(1)[0]
        assert 10 <= changed.sum() < changed.size / 2
        assert np.abs(after[0][:, changed] - level[:, None]).max() < 1e-6
        assert not page.page.locator('figure[data-name="target"]').is_visible()  # it is another drawing now
        require_alike(page, pages("drawings")[1])
        page.page.get_by_role("button", name="Undo").click()
        page.ready()
        assert (page.given() == before).all()
        page.page.get_by_role("button", name="Redo").click()
        page.ready()
        assert (page.given() == after).all()
        assert page.errors == []


def test_one_draws_and_fills_by_keyboard_alone(browser, pages) -> None:
    with opened(browser, pages, "drawings") as page:
        page.page.get_by_role("button", name="Clear").focus()
        page.page.keyboard.press("Enter")
        page.ready()
        assert len(np.unique(page.given()[0].reshape(3, -1), axis=1).T) == 1
        page.page.get_by_role("radiogroup", name="Colour").get_by_role("radio", checked=True).focus()
        page.page.keyboard.press("ArrowRight")
        page.page.locator("canvas.map").focus()
        for key in ("ArrowRight", "Shift+ArrowDown", "Space"):
            page.page.keyboard.press(key)
        page.ready()
        drawn = page.given()[0].reshape(3, -1)
        second = np.array(page.page.evaluate("demo.config.directions[0].palette[1].colour")) / 127.5 - 1
        some = np.abs(drawn - second[:, None]).max(0) < 1e-6
        assert 0 < some.sum() < some.size
        page.page.keyboard.press("Control+z")
        page.page.keyboard.press("f")
        page.ready()
        assert np.abs(page.given()[0].reshape(3, -1) - second[:, None]).max() < 1e-6
        for element in page.page.locator("button, select, input:not([type=file]), canvas.map").all():
            assert element.evaluate("(e) => e.tabIndex === -1 ? e.getAttribute('role') === 'radio' : true")


def test_a_label_map_is_one_hot_with_the_edges_of_what_was_drawn(browser, pages) -> None:
    run, _ = pages("labels")
    sample = np.load(run / "prepare" / "test.input.npy")[0]
    with opened(browser, pages, "labels") as page:
        given = page.given()[0]
        assert given.shape[0] == 41
        assert (given[:40].argmax(0) == sample[..., 0]).all()
        assert (given[:40].sum(0) == 1).all()
        assert (given[40] == (sample[..., 1] > 127)).all()
        page.page.get_by_role("button", name="Clear").click()
        page.page.locator(".colours button").nth(7).click()
        page.page.locator("canvas.map").click()
        page.ready()
        given = page.given()[0]
        ids = given[:40].argmax(0)
        assert set(np.unique(ids)) == {0, 7}
        assert (given[40] * 255 == edges(ids.astype(np.uint32))).all()
        inside = given[40].sum()
        page.page.get_by_role("button", name="New object").click()
        page.page.locator("canvas.map").click(position={"x": 3, "y": 3})
        page.page.locator("canvas.map").click(position={"x": 3, "y": 3})
        page.ready()
        assert page.given()[0][40].sum() > inside  # an edge around the new object, of the same class or not
        require_alike(page, pages("labels")[1])


def picture(width: int, height: int) -> bytes:
    rng = np.random.default_rng(0)
    made = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(made, "PNG")
    return made.getvalue()


HAND = """([event, base64, name, type]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const [Kind, key] = event === "paste" ? [ClipboardEvent, "clipboardData"] : [DragEvent, "dataTransfer"];
  document.body.dispatchEvent(new Kind(event, { [key]: transfer, bubbles: true, cancelable: true }));
}"""


def test_a_picture_may_be_chosen_dropped_or_pasted_in_either_direction(browser, pages) -> None:
    with opened(browser, pages, "photographs") as page:
        sample = page.given()
        page.page.set_input_files("#file", {"name": "own.png", "mimeType": "image/png", "buffer": picture(16, 16)})
        page.page.locator("text=own.png: 16 × 16 px").wait_for()
        page.ready()
        own = np.asarray(Image.open(io.BytesIO(picture(16, 16))))
        np.testing.assert_allclose(page.given()[0], own.transpose(2, 0, 1) / np.float32(127.5) - 1, atol=1e-6)
        require_alike(page, pages("photographs")[1])
        page.page.select_option("#way", "256")
        page.ready()
        assert page.given().shape == (1, 3, 16, 16)  # never larger than it is
        for event, size in (("drop", (40, 20)), ("paste", (20, 40))):
            text = base64.b64encode(picture(*size)).decode()
            page.page.evaluate(HAND, [event, text, f"{event}.png", "image/png"])
            page.page.locator(f"text={event}.png: {size[0]} × {size[1]} px").wait_for()
            page.ready()
            assert page.given().shape == (1, 3, size[1], size[0])
            require_alike(page, pages("photographs")[1])
        page.page.evaluate(HAND, ["drop", base64.b64encode(b"no picture").decode(), "notes.txt", "text/plain"])
        page.page.locator("text=notes.txt must be a picture").wait_for()
        page.page.get_by_role("radio", name="B to A").click()
        page.page.wait_for_timeout(50)
        page.ready()
        assert not (page.given() == sample).all()
        require_alike(page, pages("photographs")[1], "reverse")
        assert page.errors == []


def test_enlarged_pictures_are_those_of_the_exported_file_in_the_same_windows(browser, pages) -> None:
    run, folder = pages("upscale")
    card = read_json(run / "export" / "card.json")
    with opened(browser, pages, "upscale") as page:
        assert page.page.locator('figure[data-name="bicubic"]').is_visible()
        assert page.page.get_by_label("Picture on the left").input_value() == "bicubic"
        arguments = {key: card["tiles"][key] for key in ("window", "overlap", "step", "multiple", "least")}
        content = part(folder, "forward-fp32")
        wanted = enlarge(page.given(), lambda window: expected(content, window), **arguments)
        np.testing.assert_allclose(page.made("fp32"), wanted, **AXES)
        small = {"window": [24, 32], "overlap": 8, "step": 8, "multiple": 1, "least": [8, 8]}
        tensor = np.random.default_rng(0).uniform(-1, 1, (1, 3, 50, 37)).astype(np.float32)
        made = page.page.evaluate(
            """async ([data, dims, tiling]) => {
              const model = demo.config.directions[0].models.find(({ name }) => name === "fp32");
              const run = (given) => demo.runtime.run(model, given);
              return Array.from((await demo.enlarge({ data: new Float32Array(data), dims }, run, tiling)).data);
            }""",
            [tensor.ravel().tolist(), list(tensor.shape), small],
        )
        wanted = enlarge(tensor, lambda window: expected(content, window), **small)
        np.testing.assert_allclose(np.array(made).reshape(wanted.shape), wanted, **AXES)


@pytest.mark.parametrize("scale", [2, 3])
def test_the_picture_before_is_the_bicubic_one_that_the_run_measured(browser, pages, scale) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    with opened(browser, pages, "upscale") as page:
        made = page.page.evaluate(
            """([levels, height, width, channels, scale]) =>
              Array.from(demo.bicubic({ levels, height, width, channels }, scale).data)""",
            [levels.ravel().tolist(), *levels.shape, scale],
        )
    made = np.array(made).reshape(9 * scale, 7 * scale, 4)[..., :3]
    assert np.abs(made - imresize(levels, scale).astype(int)).max() <= 1


def noise_of(seed: int, length: int) -> np.ndarray:
    """The documented noise: mulberry32, then Box and Muller's pairs."""
    found, state = [], seed

    def uniform() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) % 2**32
        mixed = (state ^ state >> 15) * (state | 1) % 2**32
        mixed ^= (mixed + (mixed ^ mixed >> 7) * (mixed | 61)) % 2**32
        return (mixed ^ mixed >> 14) % 2**32 / 2**32

    while len(found) < length:
        radius, angle = np.sqrt(-2 * np.log(1 - uniform())), 2 * np.pi * uniform()
        found += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.array(found[:length], np.float32)


def test_a_seed_gives_its_noise_and_the_ends_of_an_arc_are_its_seeds(browser, pages) -> None:
    with opened(browser, pages, "noise") as page:
        assert page.page.evaluate("demo.input.seeds") == list(range(1, 10))
        for place in (0, 8):
            np.testing.assert_allclose(page.given(place)[0], noise_of(1 + place, 6), atol=1e-6)
            require_alike(page, pages("noise")[1], place=place)
        page.page.get_by_role("radio", name="Between two seeds").click()
        page.page.get_by_label("To seed").fill("77")
        slider = page.page.get_by_label("Where between the two seeds")
        for value, seed in ((0, 1), (100, 77)):
            slider.fill(str(value))
            page.ready()
            np.testing.assert_allclose(page.given()[0], noise_of(seed, 6), atol=1e-5)
        slider.fill("40")
        page.ready()
        require_alike(page, pages("noise")[1])
    many = np.concatenate([noise_of(seed, 64) for seed in range(200)])
    assert abs(many.mean()) < 0.03
    assert abs(many.std() - 1) < 0.03


def test_a_served_page_is_isolated_and_computes_the_same_with_threads(browser, pages) -> None:
    _run, folder = pages("drawings")
    code = "import sys; from pathlib import Path; from slimgen.demo.server import serve; "
    code += "serve(Path(sys.argv[1]), 0, lambda line: print(line, flush=True))"
    server = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[0]
        with Opened(browser, address) as page:
            assert page.page.evaluate("self.crossOriginIsolated") is True
            assert all(url.startswith((address, "blob:", "data:")) for url in page.requests)
            cores = page.page.evaluate("demo.runtime.cores")
            if cores > 1:
                page.page.get_by_label("Threads of WebAssembly").select_option("2")
                page.page.locator("text=with 2 threads").wait_for()
                page.ready()
            require_alike(page, folder)
            assert page.errors == []
    finally:
        server.kill()
        server.communicate()


def test_a_missing_file_is_named_on_the_page(browser, pages, tmp_path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(pages("drawings")[1], broken)
    (broken / "parts" / "forward-fp32-0.js").unlink()
    with Opened(browser, (broken / "index.html").as_uri()) as page:
        figure = page.page.locator('figure[data-name="fp32"]').inner_text()
        assert "forward-fp32-0.js is missing" in figure
        assert "original" in page.models()
        assert "fp32" not in page.models()
