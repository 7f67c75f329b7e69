"""The report in a real browser, where there is one: what is clicked, dragged, typed and hovered over."""

import io
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from slimgen.report.figures import picture_genotype
from slimgen.report.gallery import Gallery
from slimgen.report.html import Exported, complete_report, write_report
from slimgen.search import Genotype, Trial

playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZE = 16
LEVELS = {"input": 10, "target": 100, "original": 110, "found": 90, "random1": 100}
"""Every pixel of a column's first picture, of 256 levels; later rows are one level brighter each."""


def gallery(title, rows):
    images = {
        name: torch.stack([torch.full((3, SIZE, SIZE), (level + row) / 127.5 - 1) for row in range(rows)])
        for name, level in LEVELS.items()
    }
    scores = {name: [20.0 + row for row in range(rows)] for name in ("original", "found", "random1")}
    return Gallery(title, images, [f"{title} {row}.png" for row in range(rows)], "PSNR ↑", scores)


def trial(number, step):
    genotype = Genotype({f"layer{layer:02d}": (number + layer) % 5 for layer in range(12)})
    return Trial(genotype, {"macs": 1e6 * (number + 1), "params": 5e4}, {"psnr": 10.0 + number % 7}, step=step)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with all its sections, and long names, of an export."""
    folder = tmp_path_factory.mktemp("report")
    trials = [trial(number, "channel" if number % 2 else "operator") for number in range(30)]
    latency = {"runtime": "onnxruntime 1.31 cpu", "p50_ms": 4.0, "p95_ms": 5.0}
    row = {"metrics": {"psnr": 20.0, "ssim": 0.8, "patch_swd": 9.0}, "params": 800, "bytes": 3200, "latency": latency}
    rows = [{**row, "name": name, "macs": {"exact": 8000}} for name in ("original", "found", "narrowed_latency")]
    goals = {"psnr": "max", "ssim": "max", "patch_swd": "min"}
    facts = {
        "label": {"name": "a-name-without-any-place-to-break-it-" + "x" * 60},
        "table": {"convention": "exact", "size": SIZE, "goals": goals, "rows": rows},
        "logs": {"teacher": [{"step": step, "generator.recon": 2.0 / step} for step in (1, 2, 3)]},
        "genotype": {**trials[8].to_json(), "limits": {"macs": 1e7}, "objective": {"metric": "psnr", "goal": "max"}},
        "trials": [one.to_json() for one in trials],
    }
    picture_genotype(trials[8].genotype, folder / "architecture.png")
    galleries = [gallery("first", 2), gallery("worst", 1)]
    write_report(folder / "evaluate.html", facts, {"architecture": folder / "architecture.png"}, galleries)
    variants = [
        {
            "name": name,
            "file": f"generator_{name}.onnx",
            "bytes": 4096,
            "quality": {"psnr": 20.0, "ssim": 0.8, "patch_swd": 9.0},
            "p50_ms": 2.0,
        }
        for name in ("fp32", "fp16", "int8")
    ]
    complete_report(
        folder / "evaluate.html", folder / "report.html", [Exported("generator.onnx", "card.md", {}, variants)]
    )
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with playwright.sync_playwright() as driver:
        path = path or driver.chromium.executable_path
        if not Path(path).is_file():
            pytest.skip(f"no browser: none of {', '.join(BROWSERS)}, nor playwright's own")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, report):
    """A function that opens the report, and fails at the end if the page met an error or asked for another file."""
    contexts, wrong = [], []

    def open_report(width=1280, height=900, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("request", lambda request: None if request.url.startswith("data:") else asked.append(request.url))
        page.goto(report.as_uri())
        return page

    asked = []
    yield open_report
    for context in contexts:
        context.close()
    assert wrong == []
    assert set(asked) == {report.as_uri()}


@pytest.fixture
def page(opened):
    return opened()


def enlarge(page, column="found", row=0):
    page.locator(".row").nth(row).locator(f"img[data-column={column}]").click()


def pixel(page, where, across=0.5):
    """The levels of one pixel in the middle of an element, as the screen shows it."""
    with Image.open(io.BytesIO(page.locator(where).first.screenshot())) as image:
        return image.convert("RGB").getpixel((int(across * image.width), image.height // 2))


def chosen(page):
    """The columns at the left and the right of the enlarged view."""
    return [page.locator(f"#viewer [name={side}] option:checked").inner_text() for side in ("left", "right")]


def test_a_click_enlarges_by_whole_pixels_with_the_scores_of_both(page):
    enlarge(page)
    assert page.locator("#viewer").is_visible()
    assert chosen(page) == ["original", "found"]
    frame = page.locator("#viewer .stage > div").bounding_box()
    assert frame["width"] >= 400
    assert frame["width"] % SIZE == frame["height"] % SIZE == 0
    assert page.locator("#viewer .said span").all_inner_texts() == ["original: PSNR ↑ 20.00", "found: PSNR ↑ 20.00"]
    assert page.evaluate("getComputedStyle(document.querySelector('#viewer .stage img')).imageRendering") == "pixelated"
    page.keyboard.press("Escape")
    assert page.locator("#viewer").is_hidden()


def test_the_slider_moves_by_key_and_by_drag(page):
    enlarge(page)
    frame = "#viewer .stage > div"
    assert pixel(page, frame, 0.3) == (110, 110, 110)
    assert pixel(page, frame, 0.7) == (90, 90, 90)
    box = page.locator(frame).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20)
    page.mouse.up()
    assert page.locator("#viewer [name=share]").input_value() == "20"
    assert pixel(page, frame, 0.3) == (90, 90, 90)
    page.locator("#viewer [name=share]").focus()
    page.keyboard.press("End")
    assert pixel(page, frame, 0.7) == (110, 110, 110)


def test_keys_lead_to_other_images_and_other_columns(page):
    enlarge(page)
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewed").inner_text() == "first 1.png"
    assert chosen(page) == ["original", "found"]
    page.keyboard.press("ArrowDown")
    assert chosen(page) == ["original", "random1"]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewed").inner_text() == "first 0.png"  # round the end
    page.keyboard.press("ArrowLeft")
    assert page.locator("#viewed").inner_text() == "worst 0.png"


def test_pictures_can_be_enlarged_by_keys_alone(page):
    page.locator(".row button").nth(3).focus()
    page.keyboard.press("Enter")
    assert page.locator("#viewer").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.querySelector('img').dataset.column") == "found"


@pytest.mark.parametrize(("factor", "level"), [("1", 20), ("4", 80), ("8", 160)])
def test_the_difference_is_that_of_the_pixels_times_the_factor(page, factor, level):
    enlarge(page)
    page.locator("#viewer [name=difference]").check()
    page.locator("#viewer [name=factor]").select_option(factor)
    assert pixel(page, "#viewer .stage > div") == (level,) * 3  # |110 - 90|


def test_errors_are_shown_as_pictures_of_the_difference_from_the_target(page):
    assert "|picture − target|" in page.locator(".errors").inner_text()
    page.locator(".errors button").click()
    levels = {name: pixel(page, f".row button:has(img[data-column={name}])") for name in LEVELS}
    assert levels == {
        "input": (10,) * 3,
        "target": (100,) * 3,
        "original": (40,) * 3,
        "found": (40,) * 3,
        "random1": (0,) * 3,
    }
    page.locator(".errors select").select_option("2")
    assert pixel(page, ".row button:has(img[data-column=found])") == (20,) * 3
    page.locator(".errors button").click()
    assert pixel(page, ".row button:has(img[data-column=found])") == (90,) * 3


def test_hovering_over_a_point_tells_its_quality_costs_and_choices(page):
    line = page.locator(".trials tbody tr").nth(3).locator("td").all_text_contents()
    dot = page.locator(".dot").nth(3)
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = page.locator(".tip").inner_text().replace("\u00a0", " ")
    assert told.splitlines() == [
        f"{line[0]}: PSNR ↑ {line[1]}, {line[2]} MACs, {line[3]} parameters",
        line[4],
    ]
    assert "layer11 " in line[4]
    page.mouse.move(0, 0)
    assert page.locator(".tip").is_hidden()


def test_arrow_keys_go_from_point_to_point_along_the_cost(page):
    page.locator(".dot[tabindex='0']").focus()
    assert ", chosen: " in page.locator(".tip").inner_text()
    page.keyboard.press("Home")
    places = []
    for _ in range(3):
        places.append(page.evaluate("parseFloat(document.activeElement.style.left)"))
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == page.locator(".tip").inner_text()
        page.keyboard.press("ArrowRight")
    assert places == sorted(set(places))
    page.keyboard.press("Escape")
    assert page.locator(".tip").is_hidden()


def test_a_tap_tells_a_point_too(opened):
    page = opened(390, 780, has_touch=True, is_mobile=True)
    dot = page.locator(".dot").nth(5)
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    page.touchscreen.tap(box["x"] + 4, box["y"] + 4)
    assert "PSNR\u00a0↑ 1" in page.locator(".tip").inner_text()
    tip = page.locator(".tip").bounding_box()
    assert tip["x"] >= 0
    assert tip["x"] + tip["width"] <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_on_a_telephone_does_not_scroll_sideways_and_tells_which_tables_do(opened, scheme):
    page = opened(390, 780, has_touch=True, is_mobile=True, color_scheme=scheme)
    for details in page.locator("details").all():
        details.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    hints = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1)"
        ".map(box => getComputedStyle(box, '::before').content)"
    )
    assert len(hints) >= 3
    assert all("scroll sideways" in hint for hint in hints)
    cut = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll, svg, dialog') && "
        "one.getBoundingClientRect().right > 390.5).map(one => one.outerHTML.slice(0, 80))"
    )
    assert cut == []


def test_a_chart_larger_than_the_window_is_enlarged_with_a_hint(opened):
    page = opened(390, 780)
    page.locator("button.whole").last.click()
    stage = page.locator("#viewer .stage")
    assert stage.evaluate("box => box.scrollWidth > box.clientWidth && box.classList.contains('wider')")
    assert page.locator("#viewer [name=share]").is_hidden()


def test_a_printed_page_cuts_no_table_and_no_picture(opened):
    page = opened(794, 1000)  # A4
    page.emulate_media(media="print")
    assert page.locator(".errors").is_hidden()
    cut = page.evaluate(
        "[...document.querySelectorAll('table, img')].filter(one => one.checkVisibility() && "
        "one.getBoundingClientRect().right > innerWidth + 0.5).map(one => one.outerHTML.slice(0, 80))"
    )
    assert cut == []
    assert page.pdf(format="A4").startswith(b"%PDF")
