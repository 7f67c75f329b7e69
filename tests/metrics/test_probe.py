"""Metrics, and the networks that others made for them, tried before anything is trained."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen.errors import SlimgenError
from slimgen.metrics.probe import WIDEST, probe

SIZE = (3, 16, 24)


class Means(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class Maps(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2]


class Two(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.mean((2, 3)), x


class Listed(nn.Module):
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x]


class OneSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


class NoColumns(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))[:, :0]


class Constant(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_ones((x.shape[0], 2))


class Undefined(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.mean((2, 3)) - 2).log()


class Whole(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (100 * x.mean((2, 3))).long()


class Wide(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)).repeat(1, 20_000)


class Rows(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2)


def saved(folder: Path, kind: type[nn.Module]) -> dict[str, object]:
    """A network as a file, as a recipe names it."""
    path = folder / f"{kind.__name__}.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(kind()), path)
    return {"path": str(path)}


@pytest.mark.parametrize("kind", [Means, Maps])
@pytest.mark.parametrize("family", ["fd", "kid", "is"])
def test_a_network_may_return_features_or_feature_maps(tmp_path: Path, kind: type[nn.Module], family: str) -> None:
    probe([f"{family}:n"], {"n": saved(tmp_path, kind)}, SIZE)


def test_the_error_for_a_network_with_a_fixed_size_asks_for_that_size(tmp_path: Path) -> None:
    named = saved(tmp_path, OneSize)
    probe(["fd:n"], {"n": {**named, "size": 16}}, SIZE)
    with pytest.raises(SlimgenError, match=r"must take pictures of 3 x 16 x 24; got RuntimeError.*features\.n\.size"):
        probe(["fd:n"], {"n": named}, SIZE)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Two, "one tensor of floats.*got a tuple"),
        (Listed, "one tensor of floats.*got a list"),
        (NoColumns, "must return 1 to .* features; got 0"),
        (Wide, f"must return 1 to {WIDEST:,} features; got 60,000"),
        (Constant, "must distinguish pictures"),
        (Undefined, "finite numbers"),
        (Whole, r"\(3, 3\) of int64"),
        (Rows, r"\(3, 3, 384\)"),
    ],
)
def test_an_unusable_network_is_an_error_of_one_line(tmp_path: Path, kind: type[nn.Module], words: str) -> None:
    with pytest.raises(SlimgenError, match=words) as caught:
        probe(["fd:n"], {"n": saved(tmp_path, kind)}, SIZE)
    assert "\n" not in str(caught.value)


def test_a_segmentation_has_a_map_for_each_class(tmp_path: Path) -> None:
    named = saved(tmp_path, Maps)
    two = {"sky": [0, 0, 0], "wall": [1, 1, 1]}
    probe(["seg_miou:n"], {"n": {**named, "classes": two}}, SIZE)
    with pytest.raises(SlimgenError, match=r"with 3 classes must return \(N, 3, h, w\); got \(3, 2, 16, 24\)"):
        probe(["seg_miou:n"], {"n": {**named, "classes": {**two, "roof": [2, 2, 2]}}}, SIZE)


def test_an_lpips_network_takes_pairs(tmp_path: Path) -> None:
    with pytest.raises(SlimgenError, match="the metric lpips must compare pictures of 3 x 16 x 24"):
        probe(["lpips"], {"lpips": saved(tmp_path, Means)}, SIZE)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("fake.mean()", r"one value for each pair of pictures, \(N,\); got \(\)"),
        ("float(fake.mean())", "got float"),
        ("fake.mean((1, 2, 3)) / 0", "finite numbers"),
        ("fake.nothing", "AttributeError"),
        ("__import__('sys').exit(0)", "SystemExit"),
    ],
)
def test_a_user_defined_metric_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str) -> None:
    module = f"tried_metric_{abs(hash(body))}"
    code = "from slimgen.metrics.kinds import PerImage, plain\n"
    (tmp_path / f"{module}.py").write_text(f"{code}OWN = PerImage('min', plain(lambda fake, real: {body}))\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SlimgenError, match=words):
        probe([f"{module}:OWN"], {}, SIZE)
