import json

import pytest
from typer.testing import CliRunner

from slimgen.cli.app import app


def profile(*words):
    return json.loads(CliRunner().invoke(app, ["profile", *(str(word) for word in words), "--json"]).stdout)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # Table 2 of AlphaGAN rounds these: 2.953 M and 1.32 G, 3.613 and 2.97, 8.618 and 2.78, 9.279 and 6.26.
        (["alphagan_s", "--size", 32], (2_952_707, 744_914_944, 1_311_145_984)),
        (["alphagan_s", "--size", 48], (3_613_187, 1_676_058_624, 2_950_078_464)),
        (["alphagan_l", "--size", 32], (8_618_499, 2_718_466_048, 2_781_380_608)),
        (["alphagan_l", "--size", 48], (9_278_979, 6_116_548_608, 6_258_106_368)),
    ],
)
def test_generators_of_noise_are_counted_at_the_size_of_their_images(words, expected):
    facts = profile(*words)
    assert (facts["params"], facts["macs"]["exact"], facts["macs"]["torchprofile"]) == expected


@pytest.mark.parametrize(
    "words", [["resnet", "--ngf", 8], ["sngan"], ["alphagan_s", "--channels", 8], ["patchgan", "--ndf", 8]]
)
def test_a_size_may_be_height_x_width(words):
    wide, tall = profile(*words, "--size", "64x96"), profile(*words, "--size", "96x64")
    assert (wide["height"], wide["width"], tall["height"], tall["width"]) == (64, 96, 96, 64)
    assert wide == profile(*words, "--height", 64, "--width", 96)
    assert wide["macs"]["exact"] == pytest.approx(1.5 * profile(*words, "--size", 64)["macs"]["exact"], rel=0.1)


def test_gaugans_generator_costs_at_256_x_512_what_is_published():
    assert f"{profile('spade', '--inputs', 36, '--size', '256x512')['macs']['gan-compression'] / 1e9:.0f}" == "281"


def test_an_invalid_size_is_refused_in_one_line():
    refused = CliRunner().invoke(app, ["profile", "resnet", "--size", "64y96"])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "64, [72, 96] or 72x96; got '64y96'" in refused.stderr


def test_a_name_of_both_kinds_is_the_generator_unless_a_discriminator_is_asked_for():
    generator, discriminator = profile("sngan", "--size", 32), profile("sngan", "--size", 32, "--discriminator")
    assert generator["params"] == 4_276_739
    assert discriminator["params"] == 1_053_824


def test_the_time_of_a_generator_of_noise_is_of_images_of_the_size():
    latency = profile("alphagan_s", "--channels", 4, "--size", 16, "--latency", "--runs", 2)["latency"]
    assert latency["height"] == latency["width"] == 16
    assert latency["p50_ms"] > 0


def test_a_class_of_ones_own_is_counted_by_its_path_or_file(tmp_path, monkeypatch):
    code = "from torch import nn\nclass Net(nn.Conv2d):\n    def __init__(self, kernel: int = 3):\n"
    (tmp_path / "profiled.py").write_text(f"{code}        super().__init__(3, 3, kernel, padding='same')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for family in ("profiled:Net", f"{tmp_path}/profiled.py:Net"):
        facts = profile(family, "--kernel", 5, "--height", 8, "--width", 16)
        assert (facts["params"], facts["macs"]["exact"]) == (3 * 3 * 25 + 3, 3 * 3 * 25 * 8 * 16)
        said = CliRunner().invoke(app, ["profile", family, "--kernel", "wide"])
        assert said.exit_code == 2
        assert "kernel: must be a whole number; got 'wide'" in said.stderr
