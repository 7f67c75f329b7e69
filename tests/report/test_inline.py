import base64
import io

import numpy as np
import pytest
from PIL import Image

from slimgen.errors import RunError
from slimgen.report import inline as inlining
from slimgen.report.inline import inline, of_pixels, of_png

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def png(image):
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def test_no_pixel_changes_whatever_the_format():
    for picture in (PICTURE, np.full((300, 300, 3), 7, dtype=np.uint8)):
        assert np.array_equal(np.array(opened(of_pixels(picture)).convert("RGB")), picture)


def test_a_chart_is_smaller_than_its_png_and_equal():
    chart = Image.new("RGBA", (400, 300), "white")
    chart.paste((0, 114, 178, 255), (50, 50, 200, 200))
    content = png(chart)
    uri = of_png(content)
    assert uri.startswith("data:image/webp;base64,")
    assert len(base64.b64decode(uri.partition(",")[2])) < len(content)
    assert opened(uri).convert("RGB").tobytes() == chart.convert("RGB").tobytes()


def test_what_is_clear_stays_clear():
    half = Image.new("RGBA", (40, 30), (10, 20, 30, 0))
    assert opened(of_png(png(half))).convert("RGBA").tobytes() == half.tobytes()


def test_without_webp_and_of_other_modes_the_file_is_kept_byte_for_byte(monkeypatch, tmp_path):
    grey = png(Image.new("L", (8, 8), 3))
    assert base64.b64decode(of_png(grey).partition(",")[2]) == grey
    monkeypatch.setattr(inlining, "_webp", lambda: False)
    (tmp_path / "a.png").write_bytes(png(Image.fromarray(PICTURE)))
    assert base64.b64decode(inline(tmp_path / "a.png").partition(",")[2]) == (tmp_path / "a.png").read_bytes()


def test_a_missing_picture_is_an_error_with_its_name(tmp_path):
    with pytest.raises(RunError, match=r"none\.png, which the report shows, must be readable"):
        inline(tmp_path / "none.png")
