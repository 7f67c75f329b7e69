"""Glossary: one row for each word, and every name in it exists."""

import importlib
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "glossary.md").read_text()
NAMES = sorted(set(re.findall(r"`(slimgen(?:\.\w+)+)`", TEXT)))
WORDS = re.findall(r"^\| ([^|`]+?) \| .+ \| .* \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_the_glossary_exists(name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return
    pytest.fail(f"nothing is called {name}")


def test_each_word_has_one_row() -> None:
    words = [word for word in WORDS if word not in ("word", "---")]
    assert len(words) > 40
    assert len(words) == len(set(words))
