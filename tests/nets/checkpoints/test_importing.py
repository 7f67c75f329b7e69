"""Checkpoints as they are published: wrapped, prefixed, in parts, in half precision, damaged."""

import copy
import itertools
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

from slimgen.errors import CheckpointError
from slimgen.nets import build_discriminator, build_generator
from slimgen.nets.checkpoints.choosing import import_weights
from slimgen.nets.weights import digest

OPTIONS = {"family": "resnet", "ngf": 4, "blocks": 2}
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def resnet(seed=0, **options):
    return build_generator(seed=seed, **{**OPTIONS, **options})


@pytest.fixture
def file(tmp_path):
    """Saves something as a torch file; its path."""

    def save(content):
        torch.save(content, tmp_path / "c.pth")
        return tmp_path / "c.pth"

    return save


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def prefixed(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


REF, OTHER = resnet(seed=1).state_dict(), resnet(seed=2).state_dict()
JUDGE = build_discriminator("patchgan", ndf=4, layers=2).state_dict()
KEYS = ("params", "state_dict", "model", "generator", "netG", "g", "weights of mine")


@pytest.mark.parametrize("wrapped", [
    *({key: REF, "epoch": 3} for key in KEYS),
    *(prefixed(prefix, REF) for prefix in ("module.", "module.module.", "_orig_mod.", "net.", "a.b.c.")),
    {"state_dict": prefixed("netG.", REF), "hyper": {"rate": 2e-4}},
    {"state_dict": {**prefixed("generator.", REF), **prefixed("discriminator.", JUDGE)}},
    {"generator": REF, "discriminator": JUDGE, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
    {"model": {"nets": {"G": prefixed("module.", REF)}}},
    {"state_dict": prefixed("_orig_mod.module.", REF)},
    nn.DataParallel(resnet(seed=1)).state_dict(),
])  # fmt: skip
def test_the_network_is_found_in_every_kind_of_wrapper(wrapped, file):
    net = resnet()
    import_weights(net, file(wrapped))
    assert same(net.state_dict(), REF)


@pytest.mark.parametrize("wrapped", [
    {"params_ema": REF, "params": OTHER},
    {"g": OTHER, "g_ema": REF, "d": JUDGE},
    {"state_dict": {**prefixed("generator.", OTHER), **prefixed("generator_ema.", REF)}},
    {"model": OTHER, "ema": {"module": REF}},
])  # fmt: skip
def test_an_average_is_preferred_and_noted(wrapped, file):
    net = resnet()
    found = import_weights(net, file(wrapped))
    assert same(net.state_dict(), REF)
    assert "ema" in found.key
    assert f"took {found.key}" in found.notes


BOTH = {"state_dict": {**prefixed("netG_A.", REF), **prefixed("netG_B.", OTHER), **prefixed("netD_A.", JUDGE)}}


def test_a_key_must_choose_between_two_networks_that_fit(file):
    net, path = resnet(), file(BOTH)
    before = digest(net.state_dict())
    with pytest.raises(CheckpointError, match=r"state_dict\.netG_A and state_dict\.netG_B; set teach\.generator_key"):
        import_weights(net, path, setting="teach.generator_key")
    assert digest(net.state_dict()) == before
    for key, state in {"netG_A": REF, "netG_B": OTHER, "state_dict.netG_B": OTHER}.items():
        import_weights(net, path, key)
        assert same(net.state_dict(), state)
    with pytest.raises(
        CheckpointError, match=r"must name a part of c\.pth; got 'netG_C'; known: state_dict, state_dict\.n"
    ):
        import_weights(net, path, "netG_C")
    with pytest.raises(CheckpointError, match=r"c\.pth, at state_dict\.netD_A, must hold the weights of the same net"):
        import_weights(net, path, "netD_A")


def test_an_average_of_one_of_two_directions_is_not_chosen(file):
    both = {**prefixed("netG_A.", REF), **prefixed("netG_B.", OTHER), **prefixed("netG_A_ema.", REF)}
    with pytest.raises(CheckpointError, match="netG_A and netG_B and netG_A_ema; set the key to one of them"):
        import_weights(resnet(), file(both))


def test_a_random_state_next_to_weights_that_do_not_fit_is_not_blamed(file):
    state = {
        "random": torch.zeros(9, dtype=torch.uint8),
        "net": build_generator("resnet", ngf=4, blocks=3).state_dict(),
    }
    with pytest.raises(CheckpointError, match=r"c\.pth, at net, must hold.*blocks 2 expected, 3 found"):
        import_weights(resnet(), file(state))


def test_a_key_can_choose_the_weights_instead_of_their_average(file):
    net = resnet()
    import_weights(net, file({"params_ema": REF, "params": OTHER}), "params")
    assert same(net.state_dict(), OTHER)


def test_counters_are_passed_over_and_noted(file):
    counters = {"epoch": torch.tensor(3), "model.2.num_batches_tracked": torch.tensor(9), "step": torch.tensor([7])}
    net = resnet()
    found = import_weights(net, file({**REF, **counters, "note": "mine", "loss": 0.5}))
    assert same(net.state_dict(), REF)
    assert found.notes == ("passed over epoch, model.2.num_batches_tracked, step",)


def test_a_learned_number_is_not_taken_for_a_counter(file):
    with pytest.raises(CheckpointError, match="unknown weights gamma"):
        import_weights(resnet(), file({**REF, "gamma": torch.tensor(0.5)}))


def test_safetensors_are_known_by_their_content(tmp_path):
    for name in ("weights.pth", "weights", "weights.safetensors"):
        save_file(prefixed("module.", REF), tmp_path / name)
        net = resnet()
        import_weights(net, tmp_path / name)
        assert same(net.state_dict(), REF)
    torch.save(REF, tmp_path / "torch.safetensors")
    import_weights(net, tmp_path / "torch.safetensors")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch, file):
    file(REF)
    monkeypatch.setenv("HOME", str(tmp_path))
    net = resnet()
    import_weights(net, "~/c.pth")
    assert same(net.state_dict(), REF)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_the_nearest_of_the_networks(kind, file):
    net = resnet()
    import_weights(net, file({name: tensor.to(kind) for name, tensor in REF.items()}))
    assert same(net.state_dict(), {name: tensor.to(kind).float() for name, tensor in REF.items()})


def with_one(change):
    return {**REF, "model.4.weight": change(REF["model.4.weight"].clone())}


def holed(value):
    def change(tensor):
        tensor[0, 0, 0, :2] = value
        return tensor

    return change


@pytest.mark.parametrize(("change", "reason"), [
    (holed(float("nan")), r"must be finite; got 2 NaN or infinite values in model\.4\.weight of c\.pth"),
    (holed(float("-inf")), r"must be finite; got 2 NaN or infinite values in model\.4\.weight of c\.pth"),
    (lambda t: (t * 1e7).half(), r"must be finite; got [0-9]+ NaN or infinite values in model\.4\.weight of c\.pth"),
    (lambda t: holed(1e300)(t.double()), r"must be finite; got 2 NaN or infinite values in model\.4\.weight of c\.pth"),
    (lambda t: t.to("meta"), r"model\.4\.weight: without values"),
    (lambda t: (100 * t).to(torch.int8), r"model\.4\.weight: int8"),
    (lambda t: t.to(torch.int64), r"model\.4\.weight: int64"),
    (lambda t: t.to(torch.complex64), r"model\.4\.weight: complex64"),
    (lambda t: t.to_sparse(), r"model\.4\.weight: sparse"),
    (lambda t: t.to(torch.float8_e4m3fn), r"model\.4\.weight: float8_e4m3fn"),
    (lambda t: torch.quantize_per_tensor(t, 0.01, 0, torch.qint8), r"model\.4\.weight: quantised \(qint8\)"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # torch's, of quantised tensors, while the test makes them
def test_weights_that_are_not_finite_and_dense_are_refused_by_name(change, reason, file):
    net, path = resnet(), file(with_one(change))
    before = digest(net.state_dict())
    with pytest.raises(CheckpointError, match=reason) as refused:
        import_weights(net, path)
    assert "\n" not in str(refused.value)
    assert digest(net.state_dict()) == before


def test_a_quantised_network_is_reported_as_such_even_with_other_names(file):
    converted = with_one(lambda tensor: (9 * tensor).to(torch.int8)) | {"model.4.scale": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"model\.4\.weight: int8"):
        import_weights(resnet(), file(converted))


class Layers(nn.Module):
    """A network with every kind of layer that can have a spectral or weight norm."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 8, 3, padding=1)
        self.two = nn.ConvTranspose2d(8, 8, 4, 2, 1)  # as many in as out: the axis is not told by the shape
        self.three = nn.ConvTranspose2d(8, 6, 3, padding=1)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        x = self.three(torch.relu(self.two(torch.relu(self.one(x)))))
        return self.last(x.movedim(1, 3)).movedim(3, 1)


def old_weight_norm_of_all(layer):
    return nn.utils.weight_norm(layer, dim=None)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, of the older forms, in which checkpoints are
@pytest.mark.parametrize("norm", [
    nn.utils.spectral_norm,
    parametrizations.spectral_norm,
    nn.utils.weight_norm,
    old_weight_norm_of_all,
    parametrizations.weight_norm,
    lambda layer: prune.random_unstructured(layer, "weight", amount=0.5),
])  # fmt: skip
def test_norms_in_parts_are_folded_into_an_equivalent_network(norm, file):
    torch.manual_seed(0)
    saved = Layers()
    for layer in list(saved.children()):
        norm(layer)
    for _ in range(3):
        saved(IMAGES)  # in training: spectral norms iterate
    net = Layers()
    found = import_weights(net, file({"state_dict": prefixed("module.", saved.state_dict())}))
    assert torch.allclose(net(IMAGES), saved.eval()(IMAGES), atol=1e-5)
    assert any("of 4 weights" in note for note in found.notes)


def test_a_spectral_norm_without_its_vectors_is_named(file):
    state = {name.replace("weight", "weight_orig"): tensor for name, tensor in REF.items()}
    with pytest.raises(CheckpointError, match=r"norm of model\.1\.weight must have all.*no model\.1\.weight_u"):
        import_weights(resnet(), file(state))


def test_a_network_with_the_same_norm_is_also_loaded_from_the_older_form(file):
    source, target = (build_discriminator("patchgan", seed=seed, ndf=4, layers=2, spectral=True) for seed in (1, 2))
    ends = {"original": "_orig", "0._u": "_u", "0._v": "_v"}
    older = {}
    for name, tensor in source.state_dict().items():
        owner, new, end = name.partition(".parametrizations.weight.")
        older[f"{owner}.weight{ends[end]}" if new else name] = tensor
    assert any(name.endswith("weight_u") for name in older)
    import_weights(target, file({"netD": older}))
    assert same(target.state_dict(), source.state_dict())


def test_a_network_with_the_same_norm_is_loaded_without_folding(file):
    source, target = (build_discriminator("sngan", seed=seed, channels=4) for seed in (1, 2))
    import_weights(target, file(prefixed("module.", source.state_dict())))
    assert same(target.state_dict(), source.state_dict())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.two.weight = self.one.weight


@pytest.mark.parametrize("left", ["one.weight", "two.weight"])
def test_weights_that_a_network_has_twice_may_be_saved_once(left, file):
    source, target = Tied(), Tied()
    state = {name: tensor for name, tensor in source.state_dict().items() if name != left}
    import_weights(target, file(prefixed("module.", state)))
    assert same(target.state_dict(), source.state_dict())


@pytest.mark.parametrize("content", [{}, [torch.ones(1)], {"epoch": 3}, {1: torch.ones(1)}, torch.ones(2), None])
def test_a_file_without_named_tensors_is_refused(content, file):
    with pytest.raises(CheckpointError, match=r"must hold named tensors; got none in c\.pth; save the state dict"):
        import_weights(resnet(), file(content))


@pytest.mark.parametrize("content", [resnet(), {"model": resnet()}])
def test_pickled_modules_are_refused_with_advice(content, file):
    with pytest.raises(CheckpointError, match=r"slimgen\.nets\.resnet.*torch\.save\(net\.state_dict\(\), FILE\)"):
        import_weights(resnet(), file(content))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_refused_as_such(tmp_path):
    torch.jit.save(torch.jit.script(nn.Identity()), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"net\.pt, which is a TorchScript archive"):
        import_weights(resnet(), tmp_path / "net.pt")


def test_an_unreadable_file_is_an_error_of_one_line(tmp_path):
    (tmp_path / "c.pth").write_bytes(b"x")
    (tmp_path / "c.pth").chmod(0)
    if os.access(tmp_path / "c.pth", os.R_OK):
        pytest.skip("whoever runs the tests may read everything")
    with pytest.raises(CheckpointError, match="cannot read"):
        import_weights(resnet(), tmp_path / "c.pth")


@pytest.mark.parametrize(("saved", "wanted"), [*itertools.product((0.0, 0.5), repeat=2)])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_blocks_saved_with_or_without_dropout_are_both_loaded(saved, wanted, norm, file):
    source, target = resnet(seed=1, dropout=saved, norm=norm).eval(), resnet(seed=2, dropout=wanted, norm=norm).eval()
    import_weights(target, file(source.state_dict()))
    assert torch.equal(source(IMAGES), target(IMAGES))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_running_statistics_of_old_instance_norms_are_passed_over(dropout, file):
    source = resnet(seed=1, dropout=0.5)
    state = source.state_dict()
    for name, module in source.named_modules():
        if isinstance(module, nn.InstanceNorm2d):
            state |= {f"{name}.running_mean": torch.rand(16), f"{name}.running_var": torch.rand(16)}
            state[f"{name}.num_batches_tracked"] = torch.tensor(5)
    target = resnet(seed=2, dropout=dropout)
    found = import_weights(target, file(state))
    assert torch.equal(target.model[1].weight, source.model[1].weight)
    assert "passed over model.2.running_mean" in found.notes[0]


def test_a_norm_may_lack_its_counter_of_batches(file):
    source, target = (build_generator("unet", seed=seed, ngf=2, depth=3) for seed in (1, 2))
    source(IMAGES)  # in training: moves the statistics
    state = {name: tensor for name, tensor in source.state_dict().items() if not name.endswith("num_batches_tracked")}
    import_weights(target, file(state))
    assert torch.equal(source.eval()(IMAGES), target.eval()(IMAGES))


UNET = {"family": "unet", "ngf": 2, "depth": 3}


@pytest.mark.parametrize(
    ("wanted", "saved", "difference"),
    [
        (OPTIONS, {"ngf": 3}, r"3 in model\.1\.weight; base width \(ngf, ndf or channels\) 4 expected, 3 found"),
        (OPTIONS, {"inputs": 1}, "input channels 3 expected, 1 found"),
        (OPTIONS, {"blocks": 6}, "blocks 2 expected, 6 found"),
        (OPTIONS, {"outputs": 1}, r"model\.19\.weight \(and 1 more such\); \(3, 4, 7, 7\) expected, \(1, 4, 7, 7\) f"),
        (OPTIONS, {"norm": "batch"}, "got the weights of a network with BatchNorm; set norm: batch"),
        ({**OPTIONS, "norm": "batch"}, {"norm": "instance"}, r"without BatchNorm: no model\.2\.weight.*norm: instance"),
        (UNET, {"depth": 4}, "got 4 scales; depth 3 expected, 4 found"),
        (UNET, {"norm": "instance"}, r"without BatchNorm: no model\.model\.1\.model\.2\.weight.*norm: instance"),
        ({**UNET, "norm": "instance"}, {"norm": "batch"}, "a network with BatchNorm; set norm: batch"),
        (
            {**OPTIONS, "family": "mobile_resnet"},
            {"family": "resnet"},
            "with dense residual blocks; set family: resnet",
        ),
        (OPTIONS, {"family": "mobile_resnet"}, "with separable residual blocks; set family: mobile_resnet"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused_with_the_first_difference(wanted, saved, difference, file):
    target = build_generator(**wanted)
    before = digest(target.state_dict())
    with pytest.raises(CheckpointError, match=difference) as refused:
        import_weights(target, file(build_generator(**{**wanted, **saved}).state_dict()))
    assert "\n" not in str(refused.value)
    assert digest(target.state_dict()) == before


def test_names_that_are_missing_or_unknown_are_the_first_few_of_them(file):
    with pytest.raises(CheckpointError, match="unknown weights extra0, extra1, extra2 and 2 more"):
        import_weights(resnet(), file(REF | {f"extra{number}": torch.ones(1) for number in range(5)}))
    few = {name: tensor for name, tensor in REF.items() if not name.endswith("bias")}
    with pytest.raises(CheckpointError, match=r"no model\.1\.bias, model\.4\.bias, model\.7\.bias and 7 more"):
        import_weights(resnet(), file(few))


def test_an_import_into_the_meta_device_only_checks(file):
    with torch.device("meta"):
        net = resnet()
    import_weights(net, file(REF))
    assert all(parameter.is_meta for parameter in net.parameters())
    with pytest.raises(CheckpointError, match="must be finite"):
        import_weights(net, file(with_one(holed(float("nan")))))


def test_imported_weights_share_nothing_with_the_checkpoint(file):
    net = resnet()
    found = import_weights(net, file(REF))
    copied = copy.deepcopy(found.weights)
    with torch.no_grad():
        net.model[1].weight.zero_()
    assert same(found.weights, copied)
