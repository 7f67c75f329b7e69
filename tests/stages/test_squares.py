"""What was computed of squares, before pictures had a height and a width, stays finished."""

from pathlib import Path

import pytest

from slimgen.recipe import Recipe
from slimgen.stages.fingerprint import sections
from slimgen.stages.table import STAGES

TINY = Recipe.parse((Path(__file__).parent / "tiny.yaml").read_text())


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_fingerprints_of_square_sizes_are_unchanged(stage) -> None:
    decides = sections(stage, TINY)
    assert decides.get("size", 16) == 16
    assert isinstance(decides.get("size", 16), int)
    assert {"fit", "range"}.isdisjoint(decides.get("data", {}))
    assert sections(stage, TINY.override(["size=[16, 16]"])) == decides


@pytest.mark.parametrize("setting", ["size=[16, 24]", "data.fit=squash", "data.fit=crop"])
def test_other_images_are_prepared_again(setting: str) -> None:
    assert sections(STAGES["prepare"], TINY.override([setting])) != sections(STAGES["prepare"], TINY)
