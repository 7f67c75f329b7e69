import base64
from html.parser import HTMLParser

import pytest
import torch

from slimgen.errors import RunError
from slimgen.recipe import Recipe
from slimgen.report.html import write_report
from slimgen.report.pictures import grid

RECIPE = Recipe.parse(
    "{name: small, about: <b>bold</b> & co, task: paired, method: cf_gan, size: 64, budget: {macs: 1/8},"
    " teach: {updates: 1}, finetune: {updates: 1}}"
)
ROW = {"metrics": {"psnr": 20.0}, "params": 800, "bytes": 3200, "latency": {"p50_ms": 4.0, "p95_ms": 5.0}}
TABLE = {
    "convention": "exact",
    "size": 64,
    "protocol": "psnr of 64 images",
    "notes": ["of so few images & features"],
    "rows": [
        {**ROW, "name": "original", "macs": {"exact": 8000}},
        {**ROW, "name": "found", "macs": {"exact": 1000}, "params": 1600},
    ],
}
RECORD = {
    "seconds": 200.0,
    "metrics": {"space_size": 5184, "seconds.path": 90.0},
    "versions": {"slimgen": "0.1.0"},
    "machine": {"cores": 2},
}
FACTS = {
    "recipe": RECIPE,
    "table": TABLE,
    "stages": {"prepare": RECORD, "search": RECORD},
    "logs": {"teacher": [{"step": 1, "generator.recon": 2.0}, {"step": 2, "generator.recon": 1.0}], "silent": []},
    "genotype": {"genotype": {"path": "4-2-1"}, "limits": {"macs": 1000.0}},
    "manifest": {"layout": "side by side", "splits": {"train": {"count": 368}}, "rejected": {"a.png": "is empty"}},
    "compute": "cpu fp32",
}


class Page(HTMLParser):
    """What a page shows and loads, and whether its tags are closed in order."""

    VOID = ("meta", "img", "link", "br", "input")

    def __init__(self, text):
        super().__init__()
        self.sources, self.words, self.tags, self._open = [], "", [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.fixture
def page(tmp_path):
    grid({"input": torch.zeros(1, 3, 64, 64)}, tmp_path / "grid.png")
    write_report(tmp_path / "report.html", FACTS, {"grid": tmp_path / "grid.png"})
    return Page((tmp_path / "report.html").read_text())


def test_the_report_loads_nothing_from_elsewhere(page):
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_pictures_are_inside_byte_for_byte(page, tmp_path):
    content = base64.b64decode(page.sources[0].partition(",")[2])
    assert content == (tmp_path / "grid.png").read_bytes()


def test_losses_are_drawn_from_the_logs_that_have_some(page):
    assert len(page.sources) == 2  # the grid and one training
    assert "teacher" in page.words
    assert "silent" not in page.words


def test_the_report_tells_results_search_data_and_surroundings(page):
    for words in ("8.00x", "fewer MACs", "2.00x", "more parameters", "5,184", "1 min 30 s", "3 min 20 s", "368"):
        assert words in page.words
    for words in (
        "psnr of 64 images",
        "of so few images & features.",
        "1/8",
        "side by side",
        "cpu fp32",
        "0.1.0",
        "4-2-1",
        "updates: 1",
    ):
        assert words in page.words


def test_operations_stand_beside_latency_and_what_is_slower_has_a_colour_of_its_own(tmp_path):
    def row(name, macs, p50, torch):
        latency = {
            "runtime": "onnxruntime 1.31 cpu",
            "p50_ms": p50,
            "p95_ms": p50,
            "first_half_ms": 1,
            "second_half_ms": 2,
        }
        times = {"latency": latency, "torch_latency": {"runtime": "torch 2.13 cpu", "p50_ms": torch}}
        return {**ROW, **times, "name": name, "macs": {"exact": macs}}

    rows = [row("original", 8000, 4.0, 9.0), row("found", 1000, 7.6, 3.0), row("narrowed", 2000, 2.0, 12.0)]
    write_report(tmp_path / "report.html", {"table": {**TABLE, "rows": rows}}, {})
    text = (tmp_path / "report.html").read_text()
    slower = '<td class="words slower">slower than the original: 1.9 times</td>'
    assert f"<td>fewer: 8.0 times</td>{slower}<td>faster: 3.0 times</td><td>3</td>" in text
    assert "<td>fewer: 4.0 times</td><td>faster: 2.0 times</td>" in text
    assert '<div class="worse"><b>1.9 times</b><i>slower than the original</i></div>' in text
    assert text.count('<div class="worse">') == 1
    assert "<dt>latency in PyTorch</dt><dd>torch 2.13 cpu</dd>" in text
    assert "~ marks a latency that did not hold still" in Page(text).words


def test_texts_of_the_recipe_are_shown_and_not_obeyed(page):
    assert "<b>bold</b> & co" in page.words
    assert page.tags.count("b") == len([tag for tag in page.tags if tag == "b"]) > 0
    assert "<b>bold" not in page.rawdata


def test_whatever_is_missing_is_left_out(tmp_path):
    write_report(tmp_path / "report.html", {}, {})
    page = Page((tmp_path / "report.html").read_text())
    assert page.sources == []
    assert "section" not in page.tags


def test_other_pictures_come_last_under_their_names(tmp_path):
    for name in ("grid", "night"):
        grid({name: torch.zeros(1, 3, 64, 64)}, tmp_path / f"{name}.png")
    write_report(tmp_path / "r.html", {}, {name: tmp_path / f"{name}.png" for name in ("night", "grid")})
    page = Page((tmp_path / "r.html").read_text())
    assert base64.b64decode(page.sources[-1].partition(",")[2]) == (tmp_path / "night.png").read_bytes()
    assert "night" in page.words


def test_a_missing_picture_is_an_error_with_its_name(tmp_path):
    with pytest.raises(RunError, match=r"the report shows .*pareto\.png"):
        write_report(tmp_path / "report.html", {}, {"pareto": tmp_path / "pareto.png"})
