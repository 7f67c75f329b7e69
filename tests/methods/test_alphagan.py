"""AlphaGAN from images to a trained generator: what each step moves, the gap, and what is read off in the end."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen import stages
from slimgen.data.prepared import Prepared
from slimgen.data.townhouses import write
from slimgen.device import Compute
from slimgen.errors import BudgetError, RecipeError
from slimgen.methods.alphagan import LOGITS, check, timetable
from slimgen.methods.alphagan_options import SupernetOptions
from slimgen.methods.alphagan_phases import Counts, batches, phases
from slimgen.methods.alphagan_players import Players, adv, gap, players
from slimgen.methods.alphagan_retraining import equal_channels
from slimgen.methods.alphagan_steps import ARCHITECTURE
from slimgen.nets import generator_cost
from slimgen.nets.alphagan_space import PUBLISHED, SPACE, alphagan_space
from slimgen.nets.gates import Gates
from slimgen.nets.noise_discriminator import SPACE as JUDGES
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe, section
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.job import Job
from slimgen.training.draws import fixed
from slimgen.training.fit import Journal, fit
from slimgen.training.losses import adversarial

TINY = Recipe.parse((Path(__file__).parent / "tiny_alphagan.yaml").read_text())
CPU = Compute(torch.device("cpu"))
HINGE = adversarial("hinge")


def quiet(what, done, total, values) -> None:
    """No progress in tests."""


@pytest.fixture(scope="module", autouse=True)
def no_tracking_server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")
        yield


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> list[str]:
    path = tmp_path_factory.mktemp("features") / "tiny.pt"
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3, 5, stride=3), nn.ReLU())
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 16, 16)), path)
    return [f"evaluate.features={{tiny: {{path: {path}}}}}", "evaluate.metrics=['fd:tiny']"]


@pytest.fixture(scope="module")
def whole_run(features, tmp_path_factory) -> Path:
    images, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("run")
    write(images, seed=0, train=20, test=4, size=32, layout="images")
    stages.run(TINY.override(features), data=images, out=out, tell=quiet)
    return out


def folders(run: Path, *names: str) -> dict[str, Path]:
    return {name: run / name for name in ("prepare", "teach", *names)}


def job_of(run: Path, recipe: Recipe) -> Job:
    data = Prepared.open(run / "prepare")
    return Job(recipe, CPU, open_task(recipe, CPU), data, {}, Path(), lambda name: Journal(), quiet)


class Searching:
    """A search in memory: its players, phases and batches."""

    def __init__(self, run: Path, *settings: str) -> None:
        recipe = TINY.override([f"supernet.{setting}" for setting in settings])
        self.options = section(SupernetOptions, recipe.supernet, "supernet")
        self.table, self.counts = timetable(self.options), Counts()
        self.job, self.averaged = job_of(run, recipe), 0
        self.those = players(self.job, self.options, self.table.steps)
        self.phases = phases(self.job, self.options, self.those, self.table, self.counts, self.average)
        self.batches = batches(self.job, self.options, self.table)

    def average(self) -> None:
        self.averaged += 1

    def train(self, steps: int) -> None:
        fit(self.phases, fixed(Genotype({})), self.batches, steps, seed=0, compute=CPU, state={})

    def watched(self, steps: int) -> list[set[str]]:
        """Which modules' parameters each step changed."""
        found, parts = [], self.those.parts
        told = Journal(progress=lambda done, total, values: found.append(changed()), log_every=1)
        before = {name: copies(part) for name, part in parts.items()}

        def changed() -> set[str]:
            moved = {name for name, part in parts.items() if different(before[name], part)}
            before.update({name: copies(part) for name, part in parts.items()})
            return moved

        fit(self.phases, fixed(Genotype({})), self.batches, steps, seed=0, compute=CPU, state={}, journal=told)
        return found

    def batch(self):
        return self.batches[ARCHITECTURE](5)


def copies(part: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in part.parameters()]


def different(before: list[torch.Tensor], part: nn.Module) -> bool:
    return any(not torch.equal(old, new) for old, new in zip(before, part.parameters(), strict=True))


def equal(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


BOTH = {"generator_bar", "discriminator_bar"}


def test_each_step_moves_what_its_line_of_the_algorithm_says(whole_run):
    search = Searching(whole_run)
    steps = search.watched(search.table.steps)
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


def test_bars_begin_as_copies_with_fresh_adam_in_every_iteration(whole_run):
    search = Searching(whole_run)
    generator, discriminator, generator_bar, discriminator_bar = search.those
    begun, ages = [], []
    phase = next(phase for phase in search.phases if phase.name == "discriminator_bar")
    others = [other for other in search.phases if other.name.endswith("_bar")]

    def before(step: int) -> None:
        old = [len(other.optimizer.state) for other in others]
        phase.before(step)
        if search.table.at(step).place == 0:
            begun.append(equal(generator.net, generator_bar.net) and equal(discriminator.net, discriminator_bar.net))
            begun.append(equal(generator.relaxation, generator_bar.relaxation))
            ages.append((old, [len(other.optimizer.state) for other in others]))

    found = [phase if each is not phase else type(phase)(**{**vars(phase), "before": before}) for each in search.phases]
    search.phases = [each if each.name != phase.name else new for each, new in zip(search.phases, found, strict=True)]
    search.train(search.table.steps)
    assert begun == [True] * 4
    assert [after for _, after in ages] == [[0, 0], [0, 0]]
    assert all(count > 0 for count in ages[1][0])


def test_the_gap_is_zero_where_the_bars_are_the_players_and_grows_as_they_improve(whole_run):
    search = Searching(whole_run)
    search.train(3)
    generator, discriminator, _, _ = search.those
    alike = Players(generator, discriminator, generator.twin(), discriminator.twin())
    with torch.no_grad():
        found = gap(alike, search.batch(), 0, HINGE)
    assert float(sum(found.values())) == 0
    assert float(found["worst"]) != 0
    # A discriminator that fits this batch better makes the first term larger, a generator the second.
    batch, fitted = search.batch(), Players(generator.twin(), discriminator.twin(), *alike[2:])
    for parameter in (*fitted[2].net.parameters(), *fitted[3].net.parameters()):
        parameter.requires_grad_(True)
    adams = [torch.optim.Adam(bar.net.parameters(), 1e-3, (0.0, 0.9)) for bar in fitted[2:]]
    for _ in range(20):
        for adam in adams:
            adam.zero_grad()
        fake = fitted.generator(batch.input, 0).detach()
        (-adv(fitted.discriminator_bar, batch.target, fake, 0, HINGE)).backward()
        adams[1].step()
        for adam in adams:
            adam.zero_grad()
        made = fitted.generator_bar(batch.input, 0)
        adv(fitted.discriminator, batch.target, made, 0, HINGE).backward()
        adams[0].step()
    with torch.no_grad():
        terms = gap(fitted, batch, 0, HINGE)
    assert float(terms["worst"]) > float(found["worst"])
    assert float(terms["best"]) > float(found["best"])


def test_adv_is_minus_the_printed_hinge_loss():
    class Scores:
        def __call__(self, images, step, gates=None):
            return images.mean((1, 2, 3), keepdim=True).flatten(1)

    real, fake = torch.full((2, 3, 4, 4), 0.5), torch.full((2, 3, 4, 4), -0.25)
    # relu(1 - 0.5) + relu(1 - 0.25), with the sign that D maximises.
    assert float(adv(Scores(), real, fake, 0, HINGE)) == -1.25


def gradients(search: Searching, **options) -> dict[str, float]:
    """By part: the size of the gradient that the gap gives its parameters."""
    parts = search.those.parts
    for part in parts.values():
        part.requires_grad_(True).zero_grad()
    sum(gap(search.those, search.batch(), 0, HINGE, **options).values()).backward()
    sizes = {}
    for name, part in parts.items():
        sizes[name] = sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)
    return sizes


def test_the_logits_learn_of_g_against_d_bar_alone(whole_run):
    search = Searching(whole_run)
    search.train(4)
    # In training, every look at a spectral norm is a power iteration.
    search.those.discriminator_bar.net.eval()
    sizes = gradients(search)
    assert sizes["generator.relaxation"] > 0
    assert sizes["generator_bar.relaxation"] == sizes["generator_bar"] == sizes["discriminator"] == 0
    logits = list(search.those.generator.relaxation.parameters())
    gates = search.those.generator.gates(0)
    fake = search.those.generator(search.batch().input, 0, gates)
    alone = torch.autograd.grad(
        adv(search.those.discriminator_bar, search.batch().target, fake, 0, HINGE), logits, allow_unused=True
    )
    for logit, wanted in zip(logits, alone, strict=True):
        torch.testing.assert_close(logit.grad, wanted)


def test_coupled_bars_teach_the_logits_of_both_terms(whole_run):
    search = Searching(whole_run, "coupled=true")
    search.train(7)
    with torch.no_grad():
        for parameter in search.those.generator_bar.net.parameters():
            parameter.mul_(1.1)
    found = []
    for coupled in (False, True):
        gradients(search, coupled=coupled)
        found.append([logit.grad.clone() for logit in search.those.generator.relaxation.parameters()])
    assert all(not torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_a_searched_discriminator_learns_of_d_against_g_bar(whole_run):
    search = Searching(whole_run, "discriminator=searched")
    steps = search.watched(9)
    logits = {"generator.relaxation", "discriminator.relaxation"}
    assert steps[7] == steps[8] == logits
    sizes = gradients(search)
    assert all(sizes[name] > 0 for name in logits)
    assert sizes["discriminator_bar.relaxation"] == sizes["generator_bar.relaxation"] == 0


@pytest.mark.parametrize(
    ("bar", "moved"),
    [
        ("weights", {"generator_bar"}),
        ("logits", {"generator_bar.relaxation"}),
        ("both", {"generator_bar", "generator_bar.relaxation"}),
    ],
)
def test_of_g_bar_what_the_ablation_says_is_trained(whole_run, bar, moved):
    steps = Searching(whole_run, f"bar={bar}").watched(9)
    assert steps[5] == steps[6] == moved
    assert steps[7] == {"generator.relaxation"}


def test_the_warm_up_holds_the_logits_and_spares_the_bars(whole_run):
    search = Searching(whole_run, "warm_up=0.5")
    steps = search.watched(search.table.steps)
    assert all(step <= {"generator", "discriminator"} for step in steps[:6])
    assert steps[6] >= {"discriminator_bar"}
    assert search.counts.counts["architecture"] == search.counts.counts["generator_bar"] == 2
    assert search.counts.counts["discriminator"] == 6


@pytest.mark.parametrize("relaxation", ["softmax", "sampled"])
def test_without_the_gap_g_bar_is_spared_and_the_logits_learn_the_same(whole_run, tmp_path, relaxation):
    for name, looked in (("whole", "true"), ("spared", "false")):
        recipe = TINY.override([f"supernet.relaxation={relaxation}", f"supernet.gap={looked}"])
        stages.supernet(recipe, **folders(whole_run), out=tmp_path / name, tell=quiet)
    # But for how often the spectral norms of D have been estimated.
    torch.testing.assert_close(*(load_weights(tmp_path / name / LOGITS) for name in ("whole", "spared")))
    whole, spared = (json.loads((tmp_path / name / "updates.json").read_text()) for name in ("whole", "spared"))
    assert whole.pop("generator_bar") > 0
    assert spared == whole


def test_a_warm_up_never_takes_the_whole_search():
    for iterations in range(1, 30):
        for share in (0.5, 0.9, 0.99):
            table = timetable(SupernetOptions(iterations=iterations, critic_steps=1, warm_up=share))
            assert table.counts[ARCHITECTURE] > 0, (iterations, share)


def test_training_images_move_weights_and_validation_images_bars_and_logits(whole_run):
    search = Searching(whole_run)
    data = Prepared.open(whole_run / "prepare")

    def known(split: str) -> set[bytes]:
        return {image.tobytes() for image in data.split(split).target}

    def pixels(images: torch.Tensor) -> set[bytes]:
        eight = ((images + 1) * 127.5).round().to(torch.uint8)
        return {image.permute(1, 2, 0).contiguous().numpy().tobytes() for image in eight}

    seen: dict[str, list[bytes]] = {"train": [], "val": []}
    noises = []
    for step in range(search.table.steps):
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
def test_every_relaxation_searches(whole_run, kind):
    search = Searching(whole_run, f"relaxation={kind}", "temperature=[5, 0.5]", "recompute=true")
    steps = search.watched(9)
    assert steps[7] == {"generator.relaxation"}
    first, last = (search.those.generator.relaxation.temperature(step) for step in (0, search.table.steps - 1))
    assert (first, last) == pytest.approx((5, 0.5))


def test_gates_at_a_corner_make_what_the_extracted_generator_makes(whole_run):
    net = Searching(whole_run, "interpolation=learned").those.generator.net
    genotype, noise = PUBLISHED["alphagan_s"], torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    made = net(noise, Gates.corner(SPACE, genotype))
    torch.testing.assert_close(net.extract(genotype).train()(noise), made, rtol=1e-4, atol=1e-4)


def test_the_average_follows_g_and_never_its_bar(whole_run, tmp_path, monkeypatch):
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
    stages.supernet(recipe, **folders(whole_run), out=tmp_path / "supernet", tell=quiet)
    assert all(torch.equal(one, two) for one, two in zip(kept[0].wanted, kept[0].module.parameters(), strict=True))
    assert (tmp_path / "supernet" / "samples.png").read_bytes() != (whole_run / "supernet/samples.png").read_bytes()
    assert kept[0].updates == json.loads((tmp_path / "supernet" / "updates.json").read_text())["generator"]
    # Nothing but the pictures is of the average.
    assert (tmp_path / "supernet" / LOGITS).read_bytes() == (whole_run / "supernet" / LOGITS).read_bytes()


class KilledError(Exception):
    """Stands for the signal."""


def test_a_search_killed_in_every_part_leaves_the_same_logits_counts_and_trace(whole_run, tmp_path, monkeypatch):
    monkeypatch.setattr("slimgen.training.fit.SAVING", 0)
    settings = ["supernet.relaxation=gumbel", "supernet.discriminator=searched", "supernet.ema=0.5"]
    recipe = TINY.override([*settings, "supernet.bar=both"])
    alone, killed = tmp_path / "alone" / "supernet", tmp_path / "elsewhere" / "killed" / "supernet"
    stages.supernet(recipe, **folders(whole_run), out=alone, tell=quiet)
    recipe = recipe.override(["compute.checkpoint_seconds=0.000001"])
    for after in (1, 4, 6, 8):  # amid the weights, D-bar, G-bar and the logits

        def dying(what, done, total, values, after=after) -> None:
            if done == after + 1:
                raise KilledError

        with pytest.raises(KilledError):
            stages.supernet(recipe, **folders(whole_run), out=killed, tell=dying)
        assert max(int(path.stem.split("-")[1]) for path in killed.rglob("step-*.pt")) == after
    stages.supernet(recipe, **folders(whole_run), out=killed, tell=quiet)
    names = (LOGITS, f"discriminator_{LOGITS}", "relaxation.jsonl", "log-supernet.jsonl", "updates.json", "samples.png")
    for name in names:
        assert (killed / name).read_bytes() == (alone / name).read_bytes()


def outcome_of(out: Path) -> dict:
    return json.loads((out / "genotype.json").read_text())


def test_the_most_probable_operation_of_every_edge_is_chosen(whole_run):
    logits = load_weights(whole_run / "supernet" / LOGITS)
    genotype = outcome_of(whole_run / "search")["genotype"]
    for name, choice in SPACE.items():
        assert genotype[name] == choice.options[int(logits["logits/" + name.replace(".", "/")].argmax())]
    likely = sum(float(those.double().log_softmax(0).max()) for those in logits.values())
    said = json.loads((whole_run / "search" / "stage.json").read_text())["metrics"]
    assert said["val_log_probability"] == pytest.approx(likely, rel=1e-5)
    assert said["space_size"] == SPACE.size


def test_the_run_ends_with_all_generators_trained_as_long_and_exported(whole_run):
    rows = {row["name"]: row for row in json.loads((whole_run / "evaluate" / "table.json").read_text())["rows"]}
    assert set(rows) == {"original", "found", "uniform", "random1"}
    assert {rows[name]["updates"] for name in ("found", "uniform", "random1")} == {2}
    assert abs(rows["random1"]["params"] / rows["found"]["params"] - 1) <= 0.3
    about = json.loads((whole_run / "finetune" / "networks.json").read_text())["uniform"]
    narrower = {**about["options"], "channels": about["options"]["channels"] - 1}
    less = generator_cost(about["family"], 16, 16, **narrower).macs("exact")
    assert less < rows["found"]["macs"]["exact"] <= rows["uniform"]["macs"]["exact"]
    assert (whole_run / "export" / "generator.onnx").is_file()
    assert (whole_run / "search" / "relaxation.png").is_file()
    updates = json.loads((whole_run / "supernet" / "updates.json").read_text())
    assert updates == {
        **{"discriminator": 6, "generator": 3, "discriminator_bar": 4, "generator_bar": 4},
        **{"architecture": 4, "bars": 2},
    }


def searched(whole_run: Path, out: Path, *settings: str) -> Path:
    recipe = TINY.override(["search={}", *settings])
    stages.search(recipe, **folders(whole_run, "supernet"), out=out, tell=quiet)
    return out


def test_within_a_budget_a_smaller_and_less_probable_architecture_is_chosen(whole_run, tmp_path):
    free = outcome_of(whole_run / "search")
    limit = int(free["costs"]["params"] * 0.9)
    found = outcome_of(searched(whole_run, tmp_path / "search", f"budget.params={limit}"))
    assert found["costs"]["params"] <= limit
    assert found["quality"]["log_probability"] < free["quality"]["log_probability"]
    with pytest.raises(BudgetError, match="an architecture within the budget exists"):
        searched(whole_run, tmp_path / "none", "budget.params=10")


def test_channels_of_the_finished_generator_are_its_own(whole_run, tmp_path):
    wide = searched(whole_run, tmp_path / "search", "search.channels=8")
    genotype = outcome_of(wide)["genotype"]
    assert genotype == outcome_of(whole_run / "search")["genotype"]
    cost = generator_cost("alphagan", 16, 16, genotype=genotype, channels=8, latent=6)
    assert outcome_of(wide)["costs"]["params"] == cost.params
    assert json.loads((wide / "plan.json").read_text())["generator"]["channels"] == 8


def test_a_random_architecture_is_of_about_the_probable_ones_size(whole_run, tmp_path):
    out = searched(whole_run, tmp_path / "search", "search={kind: random, random: 2}")
    trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    assert [trial["step"] for trial in trials] == ["argmax", "random", "random", "random"]
    assert outcome_of(out)["genotype"] == trials[1]["genotype"]
    sizes = [trial["costs"]["params"] for trial in trials]
    assert all(abs(size / sizes[0] - 1) <= 0.1 for size in sizes)
    rivals = json.loads((out / "plan.json").read_text())["rivals"]
    assert rivals == [trial["genotype"] for trial in trials[2:]]


def test_a_published_architecture_is_trained_without_any_search(whole_run, tmp_path):
    settings = ["supernet={iterations: 0, channels: 4}", "search={kind: published, genotype: alphagan_s}"]
    recipe = TINY.override([*settings, "finetune.uniform=false"])
    inputs = folders(whole_run)
    said = stages.supernet(recipe, **inputs, out=tmp_path / "supernet", tell=quiet)
    assert said["steps"] == said["updates"] == 0
    inputs["supernet"] = tmp_path / "supernet"
    # Of logits that nothing trained, nothing is told.
    assert "entropy" not in stages.search(recipe, **inputs, out=tmp_path / "search", tell=quiet)
    assert outcome_of(tmp_path / "search")["genotype"] == PUBLISHED["alphagan_s"].to_json()
    stages.finetune(recipe, **inputs, search=tmp_path / "search", out=tmp_path / "finetune", tell=quiet)
    about = json.loads((tmp_path / "finetune" / "networks.json").read_text())
    assert list(about) == ["found"]
    assert about["found"]["options"]["genotype"] == PUBLISHED["alphagan_s"].to_json()
    with pytest.raises(BudgetError, match="a published architecture is within the budget"):
        stages.search(recipe.override(["budget.params=10"]), **inputs, out=tmp_path / "over", tell=quiet)
    own = recipe.override([f"search.genotype={json.dumps(PUBLISHED['alphagan_l'].to_json())}"])
    stages.search(own, **inputs, out=tmp_path / "own", tell=quiet)
    assert outcome_of(tmp_path / "own")["genotype"] == PUBLISHED["alphagan_l"].to_json()


def test_a_searched_discriminator_is_read_off_and_trains_what_is_found(whole_run, tmp_path, monkeypatch):
    recipe = TINY.override(["supernet.discriminator=searched", "search={discriminator: found}"])
    inputs = folders(whole_run)
    stages.supernet(recipe, **inputs, out=tmp_path / "supernet", tell=quiet)
    inputs["supernet"] = tmp_path / "supernet"
    stages.search(recipe, **inputs, out=tmp_path / "search", tell=quiet)
    genotype = json.loads((tmp_path / "search" / "discriminator.json").read_text())
    logits = load_weights(tmp_path / "supernet" / f"discriminator_{LOGITS}")
    for name, choice in JUDGES.items():
        assert genotype[name] == choice.options[int(logits["logits/" + name.replace(".", "/")].argmax())]
    judged = []

    def watched(self, job, name, generator, discriminator, schedule, steps, *, ema=None):
        judged.append(discriminator.genotype.to_json())
        return generator.eval()

    monkeypatch.setattr("slimgen.tasks.unconditional.Unconditional.train_original", watched)
    stages.finetune(recipe, **inputs, search=tmp_path / "search", out=tmp_path / "finetune", tell=quiet)
    assert judged == [genotype, genotype]


def test_without_deconvolutions_none_is_found(whole_run, tmp_path):
    recipe = TINY.override(["supernet.deconvolution=false", "supernet.interpolation=learned", "search={}"])
    inputs = folders(whole_run)
    stages.supernet(recipe, **inputs, out=tmp_path / "supernet", tell=quiet)
    inputs["supernet"] = tmp_path / "supernet"
    said = stages.search(recipe, **inputs, out=tmp_path / "search", tell=quiet)
    assert said["space_size"] == alphagan_space(deconvolution=False).size == (6**3 * 2**2) ** 3 * 2**3
    assert "deconv" not in outcome_of(tmp_path / "search")["genotype"].values()
    assert json.loads((tmp_path / "search" / "plan.json").read_text())["generator"]["interpolation"] == "learned"


def test_the_generator_by_hand_of_equal_cost_is_the_narrowest():
    shape = {"latent": 128, "size": 32}
    for channels in (1, 17, 256):
        macs = generator_cost("sngan", 32, 32, channels=channels, **shape).macs("exact")
        assert equal_channels(macs, "exact", 32, shape) == channels
        assert equal_channels(macs + 1, "exact", 32, shape) == channels + 1


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (["supernet.gap=false", "supernet.coupled=true"], "without the gap's second term"),
        (["supernet.gap=false", "supernet.bar=logits"], "without the gap's second term"),
        (["supernet.gap=false", "supernet.discriminator=searched"], "without the gap's second term"),
        (["supernet.critic_steps=7"], "critic_steps above iterations x weight_steps"),
        (["losses.gan=least-squares"], "hinge or vanilla; got 'least-squares'"),
        (["supernet={relaxation: gumbel, temperature: [0.1, 5]}"], "does not rise"),
        (["supernet.betas=[1, 0.9]"], "supernet: betas.0: Input should be less than 1"),
        (["task=paired", "finetune={updates: 1}", "teach={updates: 1}"], "task unconditional"),
        (["supernet.temperature=[1, 1]"], "a temperature needs a relaxation that draws noise"),
        (["supernet={relaxation: gumbel, temperature: [1, 0]}"], "a temperature is above 0"),
        (["supernet={coupled: true, bar: both}"], "coupled needs bar weights"),
        (["supernet.weigth_steps=3"], "no key 'weigth_steps'"),
        (["supernet.iterations=0", "search={}"], "nothing to read an architecture from"),
        (["search={kind: published}"], "needs search.genotype"),
        (["search={kind: published, genotype: alphagan_s}"], "needs no search"),
        (["search={kind: published, genotype: alphagan_m}", "supernet.iterations=0"], "did you mean 'alphagan_"),
        (["search.genotype=alphagan_s"], "search.genotype needs kind published"),
        (["search.params=5"], "search.params needs kind random"),
        (["search={equal_size: 0.2}"], "search.equal_size needs random architectures"),
        (["search={kind: random}", "supernet.iterations=0"], "random architectures need a size"),
        (["search.discriminator=found"], "needs supernet.discriminator searched"),
        (["budget.latency_ms=1"], "alphagan limits macs, params or bytes"),
        (["objective.metric=fid"], "leave the objective out"),
        (["finetune.updates=0"], "is trained anew"),
        (["finetune.inherit=true"], "is trained anew"),
        (["size=20"], "multiples of 8"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_told_why(settings, rule):
    with pytest.raises(RecipeError, match=rule):
        check(TINY.override(settings))
