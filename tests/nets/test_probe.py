"""User-defined networks, tried before anything is computed with them."""

import json
import sys
from pathlib import Path

import pytest

from slimgen.errors import RecipeError, SlimgenError
from slimgen.nets.probe import Probe, attempt, probed

NETWORKS = """
import os, sys, time, torch
from torch import nn

class Fine(nn.Module):
    def __init__(self, hidden: int = 2):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, hidden, 3, padding=1), nn.Conv2d(hidden, 3, 3, padding=1)

    def forward(self, x):
        return self.last(self.first(x).relu()).tanh()

class Normed(Fine):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(self.first, nn.BatchNorm2d(2), nn.Dropout(0.5))

class Tuple(Fine):
    def forward(self, x): return super().forward(x), x

class Mapping(Fine):
    def forward(self, x): return {"image": super().forward(x)}

class Nothing(Fine):
    def forward(self, x): super().forward(x)

class Leaves(Fine):
    def forward(self, x): sys.exit(0)

class Changes(Fine):
    def forward(self, x): return super().forward(x.mul_(0.5))

class Dices(Fine):
    def forward(self, x): return super().forward(x + torch.rand_like(x))

class Divides(Fine):
    def forward(self, x): return super().forward(x) / 0

class Rounds(Fine):
    def forward(self, x): return (super().forward(x) * 255).byte()

class Larger(Fine):
    def forward(self, x): return nn.functional.interpolate(super().forward(x), scale_factor=4)

class Grey(Fine):
    def forward(self, x): return super().forward(x)[:, :1]

class Alone(Fine):
    def forward(self, x): return super().forward(x)[0]

class Mixes(Fine):
    def forward(self, x):
        made = super().forward(x)
        return made - made.mean(0, keepdim=True) if len(x) > 1 else made

class Detached(Fine):
    def forward(self, x): return super().forward(x).detach()

class Shrinks(Fine):
    def forward(self, x): return super().forward(x)[..., 1:] if self.training else super().forward(x)

class Breaks(Fine):
    def forward(self, x): return super().forward(x) / (0 if self.training else 1)

class Fails(Fine):
    def forward(self, x): raise KeyError("weight")

class Unmade(Fine):
    def __init__(self): raise OSError("no such font")

class Ends(Fine):
    def forward(self, x): os._exit(0)

class Moves(Fine):
    def forward(self, x):
        os.chdir("/")
        return super().forward(x)

class Waits(Fine):
    def forward(self, x): time.sleep(600)

class Judge(Fine):
    def forward(self, x): return super().forward(x).mean((1, 2, 3))[:, None]
"""


@pytest.fixture(scope="module", autouse=True)
def tried_networks(tmp_path_factory):
    """The module of these classes, where Python finds it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "tried_networks.py").write_text(NETWORKS)
    (folder / "tried_leaving.py").write_text("import sys\nsys.exit(0)\n")
    (folder / "tried_moving.py").write_text("import os\nos.chdir('/')\nclass Net: ...\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder
    sys.modules.pop("tried_networks", None)


def probe(name: str, noun: str = "generator", **options: object) -> Probe:
    wanted = (3, 8, 12) if noun == "generator" else ()
    return Probe((), noun, f"tried_networks:{name}", json.dumps(options), (3, 8, 12), wanted)


def try_here(one: Probe) -> None:
    attempt(one, lambda doing: None)


@pytest.mark.parametrize("name", ["Fine", "Normed"])
def test_a_generator_that_meets_the_rules_is_accepted(name: str) -> None:
    try_here(probe(name))


def test_a_discriminator_may_return_scores_of_any_shape() -> None:
    try_here(probe("Judge", "discriminator"))
    with pytest.raises(RecipeError, match=r"the discriminator .* must return finite numbers"):
        try_here(probe("Divides", "discriminator"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Tuple", "return one tensor; got a tuple"),
        ("Mapping", "return one tensor; got a dict"),
        ("Nothing", "return one tensor; got None"),
        ("Leaves", r"must not end its process; got sys.exit\(0\)"),
        ("Changes", "leave its input unchanged"),
        ("Dices", "return the same output twice for one input"),
        ("Divides", "finite numbers"),
        ("Rounds", r"floating-point numbers; got torch\.uint8"),
        ("Larger", r"map pictures of 3 x 8 x 12 to pictures of 3 x 8 x 12; got \(1, 3, 32, 48\)"),
        ("Grey", r"got \(1, 1, 8, 12\)"),
        ("Alone", r"got \(3, 8, 12\)"),
        ("Mixes", "the same output for a picture in a batch as for it alone"),
        ("Detached", "be trainable; got an output without gradients"),
        ("Shrinks", "the same shape in training mode as in evaluation mode"),
        ("Breaks", "finite numbers in training mode"),
        ("Fails", "take pictures of 3 x 8 x 12; got KeyError: 'weight'"),
        ("Unmade", "no such font"),
        ("Moves", "must not change the working folder; got os.chdir to /; let it open its files by absolute paths"),
    ],
)
def test_a_generator_that_cannot_be_used_is_an_error_of_one_line(name: str, words: str) -> None:
    with pytest.raises(SlimgenError, match=words) as caught:
        try_here(probe(name))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_probe_that_ends_its_process_does_not_end_ours() -> None:
    with pytest.raises(RecipeError, match=r"got exit code 0, while running it on pictures of 3 x 8 x 12"):
        probed(probe("Ends"))


def test_a_network_that_never_returns_is_stopped_and_named() -> None:
    with pytest.raises(RecipeError, match=r"no result within 0\.2 seconds, while starting"):
        probed(probe("Waits"), seconds=0.2)


def test_a_module_that_exits_python_is_an_error_of_one_line(tried_networks: Path) -> None:
    for path in ("tried_leaving:Net", f"{tried_networks}/tried_leaving.py:Net"):
        with pytest.raises(RecipeError, match=r"it calls sys\.exit\(0\)"):
            try_here(Probe((("network", path),)))


def test_a_module_that_changes_the_working_folder_is_named_and_changes_nothing(tried_networks: Path) -> None:
    before = Path.cwd()
    with pytest.raises(RecipeError, match=r"'tried_moving' must not change the working folder; got os\.chdir to /"):
        try_here(Probe((("network", "tried_moving:Net"),)))
    assert Path.cwd() == before


def test_a_file_can_be_used_as_a_module(tried_networks: Path) -> None:
    try_here(Probe((), "generator", f"{tried_networks}/tried_networks.py:Fine", '{"hidden": 3}', (3, 8, 8), (3, 8, 8)))
    with pytest.raises(RecipeError, match="no file"):
        try_here(Probe((("network", f"{tried_networks}/nothing.py:Fine"),)))
