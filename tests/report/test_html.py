import base64
import io
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from slimgen.errors import RunError
from slimgen.recipe import Recipe
from slimgen.report.gallery import Gallery
from slimgen.report.html import Exported, complete_report, write_report
from slimgen.report.pictures import grid
from slimgen.search import Genotype, Trial

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
    "metrics": {"space_size": 5184, "seconds.path": 90.0, "val_psnr": 17.5, "latency_error_max": 0.031, "pareto": 4},
    "versions": {"slimgen": "0.1.0"},
    "machine": {"cores": 2},
}
TRIALS = [
    Trial(Genotype({"path": path, "channel.<stem>": 8}), {"macs": macs, "params": 5e4}, {"psnr": psnr}, step="channel")
    for path, macs, psnr in (("4-4-4", 2000.0, 18.0), ("4-2-1", 900.0, 17.5))
]
FACTS = {
    "recipe": RECIPE,
    "table": TABLE,
    "stages": {"prepare": RECORD, "search": RECORD, "evaluate": {"seconds": 20.0}},
    "logs": {"teacher": [{"step": 1, "generator.recon": 2.0}, {"step": 2, "generator.recon": 1.0}], "silent": []},
    "genotype": {**TRIALS[1].to_json(), "limits": {"macs": 1000.0}, "objective": {"metric": "psnr", "goal": "max"}},
    "trials": [trial.to_json() for trial in TRIALS],
    "manifest": {"layout": "side by side", "splits": {"train": {"count": 368}}, "rejected": {"a.png": "is empty"}},
    "compute": "cpu fp32",
}


class Page(HTMLParser):
    """What a page shows and loads, and whether its tags are closed in order."""

    VOID = ("meta", "img", "link", "br", "input", "line")

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.sources, self.words, self.tags, self.places, self._open = [], "", [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if "dot" in (dict(attrs).get("class") or ""):
            self.places.append(tuple(map(float, re.findall(r"(?:left|top):([\d.]+)%", dict(attrs)["style"]))))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_data(self, data):
        self.words += data

    @property
    def pictures(self):
        return [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in self.sources]


@pytest.fixture
def page(tmp_path):
    grid({"input": torch.zeros(1, 3, 64, 64)}, tmp_path / "grid.png")
    write_report(tmp_path / "report.html", FACTS, {"grid": tmp_path / "grid.png"})
    return Page((tmp_path / "report.html").read_text())


def test_the_report_loads_nothing_from_elsewhere(page):
    assert page.sources
    assert all(re.match("data:image/(png|webp);base64,", source) for source in page.sources)
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert page.tags.count("script") == 2  # inside the page, of no file: the viewer, and the chart of the search


def test_pictures_are_inside_pixel_for_pixel(page, tmp_path):
    with Image.open(tmp_path / "grid.png") as grid:
        assert page.pictures[0].convert("RGB").tobytes() == grid.tobytes()


def test_losses_are_drawn_from_the_logs_that_have_some(page):
    assert len(page.sources) == 2  # the grid, and one training; the chart of the search is no picture
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


def test_operations_are_beside_latency_and_slower_generators_have_a_separate_colour(tmp_path):
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
    slower = '<td class="worse words">slower than the original: 1.9 times</td>'
    better = '<td class="better words">{}</td>'.format
    assert f"{better('fewer: 8.0 times')}{slower}{better('faster: 3.0 times')}<td>3</td>" in text
    assert better("fewer: 4.0 times") + better("faster: 2.0 times") in text
    assert '<div class="worse"><b>1.9 times</b><i>slower than the original</i></div>' in text
    assert text.count('<div class="worse">') == 1
    assert "<dt>latency in PyTorch</dt><dd>torch 2.13 cpu</dd>" in text
    assert "~ marks an unstable latency" in Page(text).words


def test_the_search_is_described_in_words_without_keys(page):
    for words in (
        "architectures in the space",
        "time of the step path",
        "PSNR of the winner, on validation images, before fine-tuning",
        "largest error of predicted milliseconds3.1%",
        "at most, MACs1,000 (1/8 of the original)",
    ):
        assert words in page.words.replace("\n", "")
    for key in ("val_psnr", "val psnr", "space_size", "space size", "pareto 4", "latency error"):
        assert key not in page.words


def test_the_time_of_every_stage_is_added_up(page):
    told = page.words[page.words.index("Time of each stage") :].replace("\n", "").replace(" ", "")
    assert told.startswith("Timeofeachstageprepare3min20ssearch3min20sevaluate20stotal,beforeexport7min0s")


def test_every_point_of_the_search_has_a_line_of_the_table_in_the_same_order(page):
    (left, top), (right, below) = page.places
    assert left > right  # the best first, which has more MACs
    assert top < below
    lines = page.text[page.text.index("<tbody>") : page.text.index("</tbody>")].replace("\n", "")
    first, chosen = re.findall(r"<tr.*?</tr>", lines)
    assert first.startswith("<tr><td>channel</td><td>18.00</td><td>2.00 k</td><td>50.0 k</td>")
    assert "path 4-4-4, channel.&lt;stem&gt; 8" in first
    assert chosen.startswith('<tr class="found"><td>channel, chosen</td><td>17.50</td>')
    assert 'data-dot="1"' in page.text


def test_a_search_of_one_architecture_has_no_chart(tmp_path):
    write_report(tmp_path / "r.html", {**FACTS, "trials": FACTS["trials"][1:]}, {})
    page = Page((tmp_path / "r.html").read_text())
    assert page.places == []
    assert "The search in numbers" in page.words


def test_a_loss_has_another_colour_than_a_win(tmp_path):
    rows = [
        {**TABLE["rows"][0], "metrics": {"psnr": 24.1, "lpips": 0.3}},
        {**TABLE["rows"][1], "metrics": {"psnr": 21.2, "lpips": 0.2}},
    ]
    table = {**TABLE, "rows": rows, "goals": {"psnr": "max", "lpips": "min"}}
    write_report(tmp_path / "report.html", {"table": table}, {})
    text = (tmp_path / "report.html").read_text()
    assert '<div class="worse"><b>24.10 → 21.20</b><i>PSNR ↑: 2.9 worse</i></div>' in text
    assert '<div class="better"><b>0.3000 → 0.2000</b><i>LPIPS ↓: 0.1 better</i></div>' in text
    assert '<div class="worse"><b>2.00x</b><i>more parameters</i></div>' in text
    assert '<div class="better"><b>8.00x</b><i>fewer MACs</i></div>' in text


def test_single_pictures_have_their_own_resolution_and_their_scores(tmp_path):
    images = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    columns = {"input": images, "found": images.flip(0)}
    gallery = Gallery("The first <two>", columns, ["a.png", "<b>.png"], "PSNR ↑", {"found": [21.234, 7.5]})
    write_report(tmp_path / "r.html", {}, {}, [gallery])
    page = Page((tmp_path / "r.html").read_text())
    pictures = page.pictures
    assert [picture.size for picture in pictures] == [(48, 40)] * 4
    assert pictures[0].tobytes() == pictures[3].tobytes() != pictures[1].tobytes()
    assert all(words in page.words for words in ("The first <two>", "<b>.png", "PSNR ↑", "21.23", "7.5000"))
    assert page.text.count('width="192"') == 4  # four times as wide


def test_export_completes_the_report(page, tmp_path):
    assert "Not exported yet: the next stage" in page.words
    (tmp_path / "export").mkdir()
    exported = Exported("generator.onnx", "card.md", {"size": "12 KiB", "latency of found": "<1 ms"})
    complete_report(tmp_path / "report.html", tmp_path / "export" / "report.html", [exported])
    whole = Page((tmp_path / "export" / "report.html").read_text())
    assert "Not exported yet: the next stage" not in whole.words
    assert "12 KiB" in whole.words
    assert "<1 ms" in whole.words
    assert whole.sources[:2] == ["generator.onnx", "card.md"]
    assert whole.sources[2:] == page.sources  # all else is as it was
    with pytest.raises(RunError, match="must be a report"):
        complete_report(tmp_path / "none.html", tmp_path / "r.html", [exported])


def test_the_variants_of_an_export_are_a_table_with_links(page, tmp_path):
    variants = [
        {"name": "fp32", "file": "generator.onnx", "bytes": 4096, "quality": {"psnr": 24.1}, "change": {"psnr": 0.0}},
        {"name": "int8", "file": "generator int8.onnx", "quality": {"psnr": 23.6}, "change": {"psnr": -0.5},
         "p50_ms": 2.5, "p95_ms": 2.75, "max_abs": 0.08, "recommended": True},
    ]  # fmt: skip
    files = [{"name": "generator_bytes.onnx", "about": "bytes <in> and out", "bytes": 2048}]
    goals = {"psnr": "max"}
    exported = Exported("generator.onnx", "card.md", {"size": "12 KiB"}, variants, files, goals)
    complete_report(tmp_path / "report.html", tmp_path / "whole.html", [exported])
    whole = Page((tmp_path / "whole.html").read_text())
    assert whole.sources[:5] == [
        *("generator.onnx", "generator%20int8.onnx", "generator.onnx", "card.md", "generator_bytes.onnx")
    ]
    table = whole.text[whole.text.index('<section id="exported">') :]
    assert '<tr class="found"><td>int8<small class="better">✓ recommended</small></td>' in table
    assert '<td>23.60<small class="worse">0.5 worse</small></td><td>2.5 / 2.75</td><td>0.08</td>' in table
    assert "<td>4.00 KiB</td><td>24.10</td><td>-</td><td>-</td>" in table
    assert "bytes <in> and out; 2.00 KiB" in whole.words


def test_texts_of_the_recipe_are_shown_and_not_obeyed(page):
    assert "<b>bold</b> & co" in page.words
    assert "<b>bold" not in page.text


def test_whatever_is_missing_is_left_out(tmp_path):
    write_report(tmp_path / "report.html", {}, {})
    page = Page((tmp_path / "report.html").read_text())
    assert page.sources == []
    assert "section" not in page.tags


def test_other_pictures_are_last_under_their_names(tmp_path):
    for name in ("grid", "night"):
        grid({name: torch.zeros(1, 3, 64, 64)}, tmp_path / f"{name}.png")
    write_report(tmp_path / "r.html", {}, {name: tmp_path / f"{name}.png" for name in ("night", "grid")})
    page = Page((tmp_path / "r.html").read_text())
    with Image.open(tmp_path / "night.png") as night:
        assert page.pictures[-1].convert("RGB").tobytes() == night.tobytes()
    assert "night" in page.words


def test_a_missing_picture_is_an_error_with_its_name(tmp_path):
    with pytest.raises(RunError, match=r"pareto\.png, which the report shows, must be readable"):
        write_report(tmp_path / "report.html", {}, {"pareto": tmp_path / "pareto.png"})
