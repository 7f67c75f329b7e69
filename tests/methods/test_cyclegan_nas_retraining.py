"""CycleGANAS's generators trained anew: several times, the best kept, all told."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen import stages
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.methods.cyclegan_nas.options import FRAME
from slimgen.methods.cyclegan_nas.phases import DISCRIMINATORS, GENERATORS
from slimgen.methods.cyclegan_nas.repeats import Comparison
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.cyclegan_nas.space import chosen
from slimgen.nets.weights import load_weights
from slimgen.run.record import read_record
from slimgen.search import Genotype
from slimgen.stages.fingerprint import fingerprint
from slimgen.stages.table import STAGES
from slimgen.tasks.cycle import train_cycle
from tests.methods.cyclegan_nas_runs import TINY, folders, job_of, run_until
from tests.quiet import quiet


@pytest.fixture(scope="module")
def whole_run(untracked, tmp_path_factory) -> Path:
    return run_until("export", tmp_path_factory.mktemp("tiny"))


RIVALS = ("narrowed", "by_hand")


class KilledError(Exception):
    """Stands for the signal."""


def test_the_run_ends_with_both_directions_of_every_generator_as_they_were_kept(whole_run):
    rows = {row["name"]: row for row in json.loads((whole_run / "evaluate" / "table.json").read_text())["rows"]}
    assert set(rows) == {f"{name}{way}" for name in ("original", "found", *RIVALS) for way in ("", "_reverse")}
    about = json.loads((whole_run / "finetune" / "networks.json").read_text())
    genotype = Genotype.from_json(json.loads((whole_run / "search" / "genotype.json").read_text())["genotype"])
    for way, role in zip(("", "_reverse"), GENERATORS, strict=True):
        assert about[f"found{way}"]["options"]["genotype"] == genotype.under(role).to_json()
        assert rows[f"found{way}"]["family"] == "cyclegan_nas"
        found = rows[f"found{way}"]["params"]
        for rival, width in zip(RIVALS, ("ngf", "hidden"), strict=True):
            family, options = about[f"{rival}{way}"]["family"], about[f"{rival}{way}"]["options"]
            less = {**options, width: options[width] - 1}
            assert generator_cost(family, 32, 32, **less).params < found <= rows[f"{rival}{way}"]["params"]
            assert rows[f"found{way}"]["updates"] == rows[f"{rival}{way}"]["updates"] == 2
        frame = {name: value for name, value in about[f"by_hand{way}"]["options"].items() if name in FRAME}
        assert frame.items() <= about[f"found{way}"]["options"].items()
        assert set(about[f"by_hand{way}"]["options"]["genotype"].values()) == {"conv3x3", "transposed3x3"}
    assert (whole_run / "export" / "generator.onnx").is_file()
    assert (whole_run / "search" / "relaxation.png").is_file()
    assert "Relaxation" in (whole_run / "evaluate" / "report.html").read_text()


def test_the_best_repeat_is_kept_and_all_are_reported(whole_run):
    work = job_of(whole_run, TINY)
    comparison = Comparison(work)
    told = read_record(whole_run / "finetune")["metrics"]
    about = json.loads((whole_run / "finetune" / "networks.json").read_text())
    for name in ("found", *RIVALS):
        pair = []
        for way in ("", "_reverse"):
            net = build_generator(about[f"{name}{way}"]["family"], **about[f"{name}{way}"]["options"])
            net.load_state_dict(load_weights(whole_run / "finetune" / f"{name}{way}.safetensors"))
            pair.append(net.eval())
        values = [told[f"{name}_repeat{number}_psnr"] for number in (0, 1)]
        assert len(set(values)) == 2  # from two seeds
        kept = comparison.measure(*pair)
        assert kept["psnr"] == pytest.approx(max(values), abs=1e-3)
        best = values.index(max(values))
        for way in ("forward", "reverse"):
            assert kept[way] == pytest.approx(told[f"{name}_repeat{best}_{way}"], abs=1e-3)
        both = [told[f"{name}_repeat0_{way}"] for way in ("forward", "reverse")]
        assert values[0] == sum(both) / 2


def test_repeats_killed_in_the_second_end_like_uninterrupted_ones(whole_run, tmp_path):
    recipe = TINY.override(["finetune={updates: 4, batch: 2, ema: 0.5}", "compute.checkpoint_seconds=0.0001"])
    inputs = folders(whole_run, "supernet", "search")
    stages.finetune(recipe, **inputs, out=tmp_path / "alone" / "finetune", progress=quiet)
    killed = tmp_path / "elsewhere" / "killed" / "finetune"

    def dying(what, done, total, values) -> None:
        if what == "found1" and done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        stages.finetune(recipe, **inputs, out=killed, progress=dying)
    assert list((killed / "checkpoints" / "found1").glob("step-*.pt"))
    stages.finetune(recipe, **inputs, out=killed, progress=quiet)
    for name in ("found.safetensors", "found_reverse.safetensors", "networks.json"):
        assert (killed / name).read_bytes() == (tmp_path / "alone" / "finetune" / name).read_bytes()


def test_another_feature_network_of_the_objective_trains_again(whole_run, tmp_path):
    network = tmp_path / "network.pt"
    recipe = TINY.override(["objective.metric=fd:n", f"evaluate.features={{n: {{path: {network}}}}}"])
    marks = []
    for number in range(2):
        network.write_bytes(bytes([number]))
        marks.append(fingerprint(STAGES["finetune"], recipe, {}, {}))
    for setting in ("objective.images=2", "search.spectral=true"):
        marks.append(fingerprint(STAGES["finetune"], recipe.override([setting]), {}, {}))
    assert len(set(marks)) == 4


def test_found_or_original_discriminators_train_the_found_generators(whole_run, tmp_path, monkeypatch):
    judged = []
    genotype = Genotype.from_json(json.loads((whole_run / "search" / "genotype.json").read_text())["genotype"])
    assert len({genotype.under(role) for role in (*GENERATORS, *DISCRIMINATORS)}) == 4
    train = "slimgen.methods.rivals.train_cycle"

    def watched(job, training):
        forth, back = training.forward, training.reverse
        judged.append(type(forth.discriminator).__name__)
        if judged == ["CellsDiscriminator"]:
            nets = dict(zip(GENERATORS, (forth.generator, back.generator), strict=True))
            nets |= dict(zip(DISCRIMINATORS, (forth.discriminator, back.discriminator), strict=True))
            for role, net in nets.items():
                assert list(net.names) == chosen(net.shape, genotype.under(role)), role
        return forth.generator.eval(), back.generator.eval()

    monkeypatch.setattr(train, watched)
    for number, (discriminators, extra) in enumerate((("found", ", discriminator_hidden: 3"), ("original", ""))):
        recipe = TINY.override([f"search={{hidden: 8, discriminators: {discriminators}{extra}}}"])
        out = tmp_path / str(number)
        inputs = folders(whole_run, "supernet")
        stages.search(recipe, **inputs, out=out / "search", progress=quiet)
        stages.finetune(recipe, **inputs, search=out / "search", out=out / "finetune", progress=quiet)
    assert judged == ["CellsDiscriminator", *["PatchGAN"] * 5]


def test_spectral_norms_are_folded_into_the_stored_weights(whole_run, tmp_path, monkeypatch):
    trained = []

    def watched(*rest, **more):
        trained.extend(train_cycle(*rest, **more))
        return tuple(trained)

    monkeypatch.setattr("slimgen.methods.rivals.train_cycle", watched)
    recipe = TINY.override(["search={hidden: 8, spectral: true}", "finetune.rivals=[]"])
    inputs = folders(whole_run, "supernet")
    stages.search(recipe, **inputs, out=tmp_path / "search", progress=quiet)
    stages.finetune(recipe, **inputs, search=tmp_path / "search", out=tmp_path / "finetune", progress=quiet)
    about = json.loads((tmp_path / "finetune" / "networks.json").read_text())
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for name, normed in zip(("found", "found_reverse"), trained, strict=True):
        assert about[name]["options"]["spectral"] is False
        weights = load_weights(tmp_path / "finetune" / f"{name}.safetensors")
        net = build_generator(about[name]["family"], **about[name]["options"])
        assert not [key for key in weights if "parametrizations" in key]
        assert [key for key in normed.state_dict() if "parametrizations" in key]
        net.load_state_dict(weights)
        torch.testing.assert_close(net.eval()(images), normed.eval()(images))


class Times(nn.Module):
    """Multiplies images."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images of any shape."""
        return images * self.factor


def test_pairs_are_compared_by_the_reconstruction_of_an_image(whole_run):
    comparison = Comparison(job_of(whole_run, TINY))
    assert comparison.measure(Times(-1), Times(-1)) == {"psnr": 100, "forward": 100, "reverse": 100}
    grey = comparison.measure(Times(0), Times(1))
    val = whole(Prepared.open(whole_run / "prepare").split("val"))
    for way, images in (("forward", val.input), ("reverse", val.target)):
        levels = ((images + 1) * 127.5).round() - 128
        wanted = (10 * torch.log10(255**2 / levels.square().mean((1, 2, 3)))).mean()
        assert grey[way] == pytest.approx(float(wanted), abs=0.02)
    assert comparison.objective.better(comparison.measure(Times(1), Times(1)), grey)


def test_a_metric_of_sets_compares_the_outputs_with_the_other_set(whole_run, tmp_path):
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(nn.AdaptiveAvgPool2d(1), torch.zeros(1, 3, 32, 32)), tmp_path / "colours.pt")
    features = {"colours": {"path": str(tmp_path / "colours.pt")}}
    settings = ["objective.metric=fd:colours", f"evaluate.features={json.dumps(features)}"]
    work = job_of(whole_run, TINY.override(settings))
    comparison = Comparison(work)
    val = whole(work.data.split("val"))

    class Constantly(nn.Module):
        def __init__(self, images: torch.Tensor) -> None:
            super().__init__()
            self.images = images

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.images[: len(images)]

    perfect = comparison.measure(Constantly(val.target), Constantly(val.input))
    apart = comparison.measure(Times(1), Times(1))
    assert perfect["forward"] == pytest.approx(0, abs=1e-4)
    assert perfect["reverse"] == pytest.approx(0, abs=1e-4)
    assert apart["fd:colours"] > 0.01
    assert comparison.objective.better(perfect, apart)
