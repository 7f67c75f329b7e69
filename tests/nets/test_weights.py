import os
import pickle
import resource
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from slimgen.errors import CheckpointError
from slimgen.nets import build_generator
from slimgen.nets.weights import digest, load_weights, save_weights


def resnet(seed=0, **options):
    return build_generator("resnet", seed=seed, **{"ngf": 4, "blocks": 2, **options})


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_weights_come_back_as_they_were_saved(tmp_path):
    state = build_generator("unet", ngf=2, depth=3).state_dict() | {
        "half": torch.rand(3).bfloat16(),
        "none": torch.empty(0),
    }
    save_weights(tmp_path / "g.safetensors", state)
    assert same(load_weights(tmp_path / "g.safetensors"), state)
    assert os.listdir(tmp_path) == ["g.safetensors"]


def test_tied_weights_can_be_saved(tmp_path):
    tied = torch.rand(4, 4)
    save_weights(tmp_path / "g.safetensors", {"a": tied, "b": tied.T, "c": tied[1:]})
    assert same(load_file(tmp_path / "g.safetensors"), {"a": tied, "b": tied.T, "c": tied[1:]})


def test_a_full_disk_leaves_the_old_weights_whole(tmp_path):
    path = tmp_path / "g.safetensors"
    save_weights(path, {"w": torch.ones(10)})
    code = f"""
import resource, torch
from slimgen.errors import CheckpointError
from slimgen.nets.weights import save_weights
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    save_weights({str(path)!r}, {{"w": torch.zeros(100_000)}})
except CheckpointError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the file there is unchanged; free some space" in done.stdout
    assert os.listdir(tmp_path) == ["g.safetensors"]
    assert torch.equal(load_weights(path)["w"], torch.ones(10))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_missing_folder_is_an_error_of_one_line(tmp_path):
    with pytest.raises(CheckpointError, match=r"No such file or directory.*check the folder"):
        save_weights(tmp_path / "absent" / "g.safetensors", {"w": torch.ones(1)})


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": dict(state), "epoch": 3}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torch_files_are_unwrapped(tmp_path, wrap, prefix):
    state = resnet().state_dict()
    torch.save(wrap({prefix + name: tensor for name, tensor in state.items()}), tmp_path / "net_G.pth")
    assert same(load_weights(tmp_path / "net_G.pth"), state)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_with_code_is_refused_and_the_code_not_run(tmp_path, zipped):
    torch.save(
        {"w": torch.ones(1), "evil": Malicious(tmp_path / "owned")},
        tmp_path / "evil.pth",
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(CheckpointError, match=r"code in it is never run; got evil\.pth.*mkdir") as refused:
        load_weights(tmp_path / "evil.pth")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "owned").exists()


def test_a_bare_pickle_with_code_is_refused(tmp_path):
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Malicious(tmp_path / "owned")))
    with pytest.raises(CheckpointError):
        load_weights(tmp_path / "evil.pkl")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_refused_with_its_name(tmp_path, suffix, keep):
    path = tmp_path / f"net.{suffix}"
    state = resnet().state_dict()
    save_weights(path, state) if suffix == "safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(CheckpointError, match=rf"cannot read the [a-z ]+ net\.{suffix}; got") as refused:
        load_weights(path)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused_with_its_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pth"):
        load_weights(tmp_path / "absent.pth")


@pytest.mark.parametrize("content", [{"w": torch.ones(1), "epoch": 3}, [torch.ones(1)], {}, {1: torch.ones(1)}])
def test_anything_but_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"must hold named tensors.*odd\.pth"):
        load_weights(tmp_path / "odd.pth")


def test_a_digest_is_of_names_types_shapes_and_bytes():
    state = {"a": torch.arange(6.0), "b": torch.tensor(3)}
    assert digest(state) == digest(dict(reversed(state.items())))
    assert digest({"m": torch.arange(6.0).reshape(2, 3).T}) == digest({"m": torch.tensor([[0.0, 3], [1, 4], [2, 5]])})
    others = [
        {"A": state["a"], "b": state["b"]},
        {"a": state["a"].reshape(2, 3), "b": state["b"]},
        {"a": state["a"].view(torch.int32), "b": state["b"]},
        {"a": state["a"] + 1e-7 * torch.eye(6)[1], "b": state["b"]},
        {"a": state["a"]},
    ]
    assert len({digest(state), *map(digest, others)}) == 6
    assert len(digest({"h": torch.rand(3).bfloat16(), "e": torch.empty(0)})) == 64
