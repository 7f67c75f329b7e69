import subprocess
from pathlib import Path

import numpy as np
import pytest

from slimgen.run.entries import columns, entry_name, measures, parameters, registered_name, surroundings


@pytest.mark.parametrize(
    ("text", "name"),
    [("fd:lenet", "fd:lenet"), ("a b-c_d.e", "a b-c_d.e"), ("loss (G)", "loss _G_"), ("/a//../b/", "a/b"), ("", "_")],
)
def test_names_keep_only_allowed_characters(text: str, name: str) -> None:
    assert entry_name(text) == name


def test_names_of_models_are_stricter() -> None:
    assert registered_name("e2s/cf_gan:1") == "e2s-cf_gan-1"


def test_parameters_are_flat_and_sequences_are_json() -> None:
    nested = {"search": {"rounds": 3, "budget": {"macs": None}}, "size": (64, 64), "where": Path("a"), "empty": {}}
    flat = {"search.rounds": "3", "search.budget.macs": "None", "size": "[64, 64]", "where": "a", "empty": "{}"}
    assert parameters(nested) == flat


def test_long_parameters_that_differ_at_the_end_stay_different() -> None:
    one, two = (parameters({"a": "x" * 10_000 + end})["a"] for end in "12")
    assert len(one) <= 6000
    assert one != two


def test_measures_are_the_finite_numbers() -> None:
    values = {"a": 1, "b": np.float32(0.5), "c": float("inf"), "d": "x", "e": None, "f": {"g": np.array(2)}, "h": [1]}
    assert measures(values) == {"a": 1.0, "b": 0.5, "f.g": 2.0}


def test_a_table_has_a_cell_for_every_row_and_column() -> None:
    rows = [{"a": 1, "b": {"c": 2}}, {"d": float("nan"), "a": np.int64(3)}]
    assert columns(iter(rows)) == {"a": [1, 3], "b": ['{"c": 2}', None], "d": [None, None]}
    assert columns([]) == {}


def test_the_revision_is_that_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "mlflow.source.git.commit" not in surroundings()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert surroundings()["mlflow.source.git.commit"] == head
