"""AlphaGAN's search: what each step moves and sees, what the average follows, and what a kill leaves."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen import stages
from slimgen.data.prepared import Prepared
from slimgen.files import LOGITS
from slimgen.methods.alphagan.algorithm import ARCHITECTURE, WEIGHTS, timetable
from slimgen.methods.alphagan.options import SupernetOptions
from slimgen.nets.weights import load_weights
from slimgen.search import Genotype
from slimgen.tasks.unconditional import SETTLED
from slimgen.training.fit import Memo
from tests.methods.alphagan_runs import TINY, Searching, copies, folders, run_until
from tests.quiet import quiet

BOTH = {"generator_bar", "discriminator_bar"}


@pytest.fixture(scope="module")
def tiny_run(untracked, tmp_path_factory) -> Path:
    return run_until("supernet", tmp_path_factory.mktemp("tiny"))


def test_each_step_updates_the_parameters_in_its_line_of_the_algorithm(tiny_run):
    search = Searching(tiny_run)
    steps = search.watched(len(search.table))
    logits = {"generator.relaxation"}
    # T = 3 with G at every second step over all iterations, R = 2, R = 2, S = 2.
    assert steps[0] == steps[2] == {"discriminator"}
    assert steps[1] == {"discriminator", "generator"}
    # The bars are begun anew: both take over what has changed since they were made.
    assert steps[3] == BOTH
    assert steps[4] == {"discriminator_bar"}
    assert steps[5] == steps[6] == {"generator_bar"}
    assert steps[7] == steps[8] == logits
    assert steps[9] == steps[11] == {"discriminator", "generator"}
    assert steps[10] == {"discriminator"}
    assert steps[12] == {*BOTH, "generator_bar.relaxation"}
    assert steps[16:] == [logits, logits]
    wanted = {"discriminator": 6, "generator": 3, "discriminator_bar": 4, "generator_bar": 4, "architecture": 4}
    assert search.counts.counts == {**wanted, "bars": 2}
    assert search.averaged == 3


def equal(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_bars_begin_as_copies_with_fresh_adam_in_every_iteration(tiny_run):
    search = Searching(tiny_run)
    generator, discriminator, generator_bar, discriminator_bar = search.those
    begun, ages = [], []
    phase = next(phase for phase in search.phases if phase.name == "discriminator_bar")
    others = [other for other in search.phases if other.name.endswith("_bar")]

    def loss(batch, arch, memo):
        old = [len(other.optimizer.state) for other in others]

        def look(*given) -> None:
            """What D-bar learns of is made first: by then both bars have begun, and nothing has moved since."""
            begun.append(equal(generator.net, generator_bar.net) and equal(discriminator.net, discriminator_bar.net))
            begun.append(equal(generator.relaxation, generator_bar.relaxation))
            ages.append((old, [len(other.optimizer.state) for other in others]))

        first = search.table[memo.step].position == 0
        hooks = [generator.net.register_forward_pre_hook(look)] if first else []
        terms = phase.loss(batch, arch, memo)
        for hook in hooks:
            hook.remove()
        return terms

    search.phases = [each if each is not phase else replace(phase, loss=loss) for each in search.phases]
    search.train(len(search.table))
    assert begun == [True] * 4
    assert [after for _, after in ages] == [[0, 0], [0, 0]]
    assert all(count > 0 for count in ages[1][0])


def test_weights_and_logits_have_their_own_adam_at_constant_rates(tiny_run):
    search = Searching(
        tiny_run,
        *("rate=3e-3", "betas=[0.1, 0.8]", "bar=both"),
        *("architecture_rate=0.04", "architecture_betas=[0.4, 0.7]", "architecture_decay=0.02"),
    )
    weights, logits = (3e-3, (0.1, 0.8), 0), (0.04, (0.4, 0.7), 0.02)
    wanted = {name: [weights] for name in ("generator", "discriminator", "discriminator_bar")}
    wanted |= {"generator_bar": [weights, logits], "architecture": [logits]}
    for phase in search.phases:
        groups = phase.optimizer.param_groups
        assert [(each["lr"], tuple(each["betas"]), each["weight_decay"]) for each in groups] == wanted[phase.name]
        assert {phase.rate(step) for step in range(len(search.table))} == {1}


@pytest.mark.parametrize(
    ("name", "plays"),
    [
        ("discriminator", {"generator", "discriminator"}),
        ("generator", {"generator", "discriminator"}),
        ("discriminator_bar", {"generator", "discriminator_bar"}),
        ("generator_bar", {"generator_bar", "discriminator"}),
        ("architecture", {"generator", "discriminator", *BOTH}),
    ],
)
def test_each_player_is_trained_against_the_one_that_its_line_names(tiny_run, name, plays):
    search = Searching(tiny_run)
    search.train(len(search.table))  # until all four differ
    phase = next(phase for phase in search.phases if phase.name == name)
    for part in search.those.parts.values():
        part.eval()  # in training, every look at a spectral norm is a power iteration

    def loss() -> float:
        with torch.no_grad():
            terms = phase.loss(search.batches[phase.split](0), Genotype({}), Memo(1))
        return float(sum(terms.values()))

    before = loss()
    for player in search.those._fields:
        net = getattr(search.those, player).net
        kept = copies(net)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(1.5)
            changed = loss() != before
            for parameter, old in zip(net.parameters(), kept, strict=True):
                parameter.copy_(old)
        assert changed == (player in plays), player
        assert loss() == before


@pytest.mark.parametrize(
    ("bar", "moved"),
    [
        ("weights", {"generator_bar"}),
        ("logits", {"generator_bar.relaxation"}),
        ("both", {"generator_bar", "generator_bar.relaxation"}),
    ],
)
def test_the_ablation_decides_which_part_of_g_bar_is_trained(tiny_run, bar, moved):
    steps = Searching(tiny_run, f"bar={bar}").watched(9)
    assert steps[5] == steps[6] == moved
    assert steps[7] == {"generator.relaxation"}


def test_the_warm_up_holds_the_logits_and_skips_the_bars(tiny_run):
    search = Searching(tiny_run, "warm_up=0.5")
    steps = search.watched(len(search.table))
    assert all(step <= {"generator", "discriminator"} for step in steps[:6])
    assert steps[6] >= {"discriminator_bar"}
    assert search.counts.counts["architecture"] == search.counts.counts["generator_bar"] == 2
    assert search.counts.counts["discriminator"] == 6


@pytest.mark.parametrize("relaxation", ["softmax", "sampled"])
def test_without_the_gap_g_bar_is_skipped_and_the_logits_learn_the_same(tiny_run, tmp_path, relaxation):
    for name, looked in (("whole", "true"), ("spared", "false")):
        recipe = TINY.override([f"supernet.relaxation={relaxation}", f"supernet.gap={looked}"])
        stages.supernet(recipe, **folders(tiny_run), out=tmp_path / name, progress=quiet)
    # But for how often the spectral norms of D have been estimated.
    torch.testing.assert_close(*(load_weights(tmp_path / name / LOGITS) for name in ("whole", "spared")))
    whole, spared = (json.loads((tmp_path / name / "updates.json").read_text()) for name in ("whole", "spared"))
    assert whole.pop("generator_bar") > 0
    assert spared == whole


def warm_up(table: list) -> int:
    """The iterations before the first that ends with steps of the logits; an iteration begins with the weights."""
    first = next(number for number, step in enumerate(table) if step.part != WEIGHTS)
    return sum(step.position == 0 for step in table[:first]) - 1


def test_a_warm_up_never_takes_the_whole_search():
    for iterations in range(1, 30):
        for share in (0.5, 0.9, 0.99):
            table = timetable(SupernetOptions(iterations=iterations, critic_steps=1, warm_up=share))
            assert table[-1].part == ARCHITECTURE, (iterations, share)
            assert warm_up(table) == int(share * iterations)
    assert warm_up(timetable(SupernetOptions(iterations=100, warm_up=0.29))) == 29


def test_training_images_move_weights_and_validation_images_bars_and_logits(tiny_run):
    search = Searching(tiny_run)
    data = Prepared.open(tiny_run / "prepare")

    def known(split: str) -> set[bytes]:
        return {image.tobytes() for image in data.split(split).target}

    def pixels(images: torch.Tensor) -> set[bytes]:
        eight = ((images + 1) * 127.5).round().to(torch.uint8)
        return {image.permute(1, 2, 0).contiguous().numpy().tobytes() for image in eight}

    seen: dict[str, list[bytes]] = {"train": [], "val": []}
    noises = []
    for step in range(len(search.table)):
        for phase in search.phases:
            if phase.when(step):
                batch = search.batches[phase.split](step)
                noises.append(batch.input)
                split = "train" if phase.split.startswith("weights") else "val"
                assert pixels(batch.target) <= known(split)
                if phase.name in ("discriminator", "discriminator_bar", "architecture"):
                    seen[split] += pixels(batch.target)
    # 6 steps of 4 of the 12 to train on; 4 + 4 steps of 4 of the 8 held out: none is seen again before all are.
    assert {seen["train"].count(image) for image in known("train")} == {2}
    assert {seen["val"].count(image) for image in known("val")} == {4}
    flat = torch.stack(noises)
    assert len(flat.unique(dim=0)) == len(noises)


@pytest.mark.parametrize("kind", ["gumbel", "straight-through", "sampled"])
def test_every_relaxation_searches(tiny_run, kind):
    search = Searching(tiny_run, f"relaxation={kind}", "temperature=[5, 0.5]", "recompute=true")
    steps = search.watched(9)
    assert steps[7] == {"generator.relaxation"}
    first, last = (search.those.generator.relaxation.temperature(step) for step in (0, len(search.table) - 1))
    assert (first, last) == pytest.approx((5, 0.5))


def test_the_average_follows_g_and_never_its_bar(tiny_run, tmp_path, monkeypatch):
    from slimgen.methods import alphagan

    kept = []

    class Watched(alphagan.Ema):
        def __init__(self, module, decay):
            super().__init__(module, decay)
            self.wanted, self.updates = copies(module), 0
            kept.append(self)

        def update(self):
            super().update()
            for number, weight in enumerate(self.source.parameters()):
                self.wanted[number] = self.wanted[number].lerp(weight.detach(), 1 - self.decay)
            self.updates += 1

    monkeypatch.setattr(alphagan, "Ema", Watched)
    recipe = TINY.override(["supernet.ema=0.5"])
    stages.supernet(recipe, **folders(tiny_run), out=tmp_path / "supernet", progress=quiet)
    assert all(torch.equal(one, two) for one, two in zip(kept[0].wanted, kept[0].module.parameters(), strict=True))
    assert (tmp_path / "supernet" / "samples.png").read_bytes() != (tiny_run / "supernet/samples.png").read_bytes()
    # Its pictures are made with the statistics of its own features, which no step of the training gives it.
    norms = [module for module in kept[0].module.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {SETTLED}
    assert kept[0].updates == json.loads((tmp_path / "supernet" / "updates.json").read_text())["generator"]
    # Nothing but the pictures is of the average.
    assert (tmp_path / "supernet" / LOGITS).read_bytes() == (tiny_run / "supernet" / LOGITS).read_bytes()


class KilledError(Exception):
    """Stands for the signal."""


def test_a_search_killed_in_every_part_leaves_the_same_logits_counts_and_trace(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("slimgen.training.fit.SAVING", 0)
    settings = ["supernet.relaxation=gumbel", "supernet.discriminator=searched", "supernet.ema=0.5"]
    recipe = TINY.override([*settings, "supernet.bar=both"])
    alone, killed = tmp_path / "alone" / "supernet", tmp_path / "elsewhere" / "killed" / "supernet"
    stages.supernet(recipe, **folders(tiny_run), out=alone, progress=quiet)
    recipe = recipe.override(["compute.checkpoint_seconds=0.000001"])
    for after in (1, 4, 6, 8):  # amid the weights, D-bar, G-bar and the logits

        def dying(what, done, total, values, after=after) -> None:
            if done == after + 1:
                raise KilledError

        with pytest.raises(KilledError):
            stages.supernet(recipe, **folders(tiny_run), out=killed, progress=dying)
        assert max(int(path.stem.split("-")[1]) for path in killed.rglob("step-*.pt")) == after
    stages.supernet(recipe, **folders(tiny_run), out=killed, progress=quiet)
    names = (LOGITS, f"discriminator_{LOGITS}", "relaxation.jsonl", "log-supernet.jsonl", "updates.json", "samples.png")
    names += ("log-architecture.jsonl",)
    for name in names:
        assert (killed / name).read_bytes() == (alone / name).read_bytes()


def test_a_repeat_that_was_killed_ends_with_the_same_logits_and_leaves_the_finished_one_alone(tiny_run, tmp_path):
    recipe = TINY.override(["search={repeats: 2}", "compute.checkpoint_seconds=0.000001"])
    recipe = recipe.override(["objective.metric=fd:tiny"])
    alone, killed = tmp_path / "alone" / "supernet", tmp_path / "elsewhere" / "killed" / "supernet"
    stages.supernet(recipe, **folders(tiny_run), out=alone, progress=quiet)

    def dying(what, done, total, values) -> None:
        if what == "supernet1" and done == 9:
            raise KilledError

    with pytest.raises(KilledError):
        stages.supernet(recipe, **folders(tiny_run), out=killed, progress=dying)
    stages.supernet(recipe, **folders(tiny_run), out=killed, progress=quiet)
    for name in (LOGITS, f"repeat1/{LOGITS}", "log-architecture1.jsonl", "repeat1/relaxation.jsonl"):
        assert (killed / name).read_bytes() == (alone / name).read_bytes()
