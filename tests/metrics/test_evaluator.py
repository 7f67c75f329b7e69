import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from slimgen.device import Compute
from slimgen.errors import DataError, RecipeError
from slimgen.metrics.evaluator import Evaluator, digest, fitting_batch
from slimgen.metrics.psnr import psnr
from slimgen.metrics.registry import METRICS, find
from slimgen.metrics.ssim import ssim

CPU = Compute(torch.device("cpu"))
PLAIN = ["psnr", "psnr_y", "ssim"]


def images(seed: int, count: int = 7, size: int = 16) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def halve(x: Tensor) -> Tensor:
    return x / 2


def test_it_averages_the_per_image_values_over_all_images_whatever_the_batch() -> None:
    pair = images(0), images(1)
    expected = {"ssim": float(ssim(pair[0] / 2, pair[1]).mean()), "psnr": float(psnr(pair[0] / 2, pair[1]).mean())}
    for batch in (1, 3, 7, 100):
        measured = Evaluator(pair, ["ssim", "psnr"], compute=CPU, batch=batch).measure(halve)
        assert list(measured) == ["ssim", "psnr"]
        assert measured == pytest.approx(expected, abs=1e-12)


def test_a_generator_runs_without_gradients_and_sees_channels_last_batches() -> None:
    seen = []

    def spy(x: Tensor) -> Tensor:
        seen.append((len(x), torch.is_inference_mode_enabled(), x.is_contiguous(memory_format=torch.channels_last)))
        return x

    evaluator = Evaluator((images(0), images(1)), ["psnr"], compute=CPU, batch=3)
    evaluator.measure(spy)
    assert seen == [(3, True, True), (3, True, True), (1, True, True)]
    assert not torch.is_inference_mode_enabled()


def test_the_images_it_returns_score_what_it_measures() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh())
    evaluator = Evaluator((images(0), images(1)), PLAIN, compute=CPU, batch=3)
    outputs = evaluator.outputs(net)
    assert outputs.shape == (7, 3, 16, 16)
    assert outputs.is_contiguous()
    assert evaluator.score(outputs) == evaluator.measure(net)


def test_in_bfloat16_the_metrics_still_see_float32_and_the_protocol_says_so() -> None:
    compute = Compute(torch.device("cpu"), torch.bfloat16)
    net = nn.Conv2d(3, 3, 1)
    low = Evaluator((images(0), images(1)), ["psnr"], compute=compute)
    assert low.outputs(net).dtype == torch.float32
    assert "generator in bfloat16" in low.protocol
    assert low.protocol != Evaluator((images(0), images(1)), ["psnr"], compute=CPU).protocol


def test_the_protocol_changes_with_metric_count_size_and_content() -> None:
    def protocol(metrics: list[str], inputs: Tensor, targets: Tensor) -> str:
        return Evaluator((inputs, targets), metrics, compute=CPU).protocol

    a, b = images(0), images(1)
    one_value = b.clone()
    one_value[3, 1, 2, 2] += 0.01
    protocols = [
        protocol(["psnr"], a, b),
        protocol(["psnr", "ssim"], a, b),
        protocol(["psnr"], a[:6], b[:6]),
        protocol(["psnr"], a[..., :15], b[..., :15]),
        protocol(["psnr"], a, one_value),
        protocol(["psnr"], one_value, b),
    ]
    assert len(set(protocols)) == len(protocols)
    assert protocol(["psnr"], a.clone(), b.clone(memory_format=torch.channels_last)) == protocols[0]


def test_a_digest_is_of_the_values_and_equal_in_another_process() -> None:
    code = "import torch; from slimgen.metrics.evaluator import digest; print(digest(torch.arange(6.0).view(2, 3)))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert digest(torch.arange(6.0).view(2, 3)) == other
    assert digest(torch.arange(6.0).view(3, 2)) != other


def test_a_generator_that_has_diverged_gets_the_worst_value_and_not_nan() -> None:
    evaluator = Evaluator((images(0), images(1)), PLAIN, compute=CPU)
    assert set(evaluator.measure(lambda x: x * math.nan).values()) == {-math.inf}


def test_goals_tell_which_way_is_better() -> None:
    best = {
        "max": "psnr psnr_y ssim ssim_y is is:x is10 is10:x seg_accuracy:x seg_class_accuracy:x seg_miou:x seg_map:x",
        "min": "patch_swd lpips fid clean_fid fd:resnet20 kid kid:x kid_subsets kid_subsets:x kid_subsets_sd "
        "kid_subsets_sd:x is10_sd is10_sd:x",
    }
    for way, names in best.items():
        assert {find(name).goal for name in names.split()} == {way}
    assert len(METRICS) == sum(len(names.split()) for names in best.values())


def test_a_user_defined_metric_is_named_by_its_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    code = "from slimgen.metrics.kinds import PerImage, plain\n"
    code += "MAE = PerImage('min', plain(lambda fake, real: (fake - real).abs().mean((1, 2, 3))))\nOTHER = 3\n"
    (tmp_path / "package" / "absolute.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    name, pair = "package.absolute:MAE", (images(0), images(1))
    evaluator = Evaluator(pair, [name, "psnr"], compute=CPU, batch=3)
    assert evaluator.goals == {name: "min", "psnr": "max"}
    assert evaluator.measure(halve)[name] == pytest.approx(float((pair[0] / 2 - pair[1]).abs().mean()))
    with pytest.raises(RecipeError, match=r"must be a slimgen\.metrics\.kinds\.PerImage"):
        find("package.absolute:OTHER")
    named = r"must be named package\.module:Name, or file\.py:Name; got .* set PYTHONPATH"
    with pytest.raises(RecipeError, match=named):
        find("package.none:MAE")
    with pytest.raises(RecipeError, match=r"^'package\.absolute' has no 'MEA'; did you mean 'MAE'\?$"):
        find("package.absolute:MEA")


@pytest.mark.parametrize("name", ["pnsr", "fd:", "fid:mine", "", "fd:<name>", "psnr:x", "seg_miou", "lpips:vgg"])
def test_an_unknown_metric_is_refused_by_name(name: str) -> None:
    with pytest.raises(RecipeError, match="no metric is called"):
        find(name)


def test_the_error_for_a_misspelt_metric_suggests_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'psnr'"):
        Evaluator((images(0), images(1)), ["psrn"], compute=CPU)


def test_an_infinite_output_is_refused_although_saving_would_clip_it() -> None:
    evaluator = Evaluator((images(0), images(1)), PLAIN, compute=CPU)
    assert set(evaluator.measure(lambda x: x / 0).values()) == {-math.inf}


def test_a_batch_holds_the_fewer_images_the_larger_they_are() -> None:
    cpu = torch.device("cpu")
    assert [fitting_batch((size, size), cpu) for size in (16, 64, 128, 256, 512)] == [64, 16, 4, 2, 2]
    seen = []
    pair = images(0, 20, 64), images(1, 20, 64)
    Evaluator(pair, ["psnr"], compute=CPU).measure(lambda x: seen.append(len(x)) or x)
    assert seen == [16, 4]


def test_images_without_partners_and_wrong_outputs_are_refused() -> None:
    with pytest.raises(DataError, match="target for every input"):
        Evaluator((images(0), images(1, count=6)), ["psnr"], compute=CPU)
    with pytest.raises(DataError, match="needs at least one input"):
        Evaluator((images(0, count=0), images(1, count=0)), ["psnr"], compute=CPU)
    with pytest.raises(DataError, match="the same shape"):
        Evaluator((images(0), images(1)), ["psnr"], compute=CPU).measure(lambda x: x[..., :8])
    with pytest.raises(DataError, match="one image per input"):
        Evaluator((images(0), images(1)), ["psnr"], compute=CPU).score(images(2, count=3))


def test_importing_it_loads_no_runtime_and_no_plotting() -> None:
    heavy = "{'onnxruntime', 'torchvision', 'pytorch_fid', 'scipy', 'matplotlib', 'mlflow', 'onnx'}"
    code = f"import sys, slimgen.metrics.evaluator; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_cache_and_the_protocol_fit_together(tmp_path: Path) -> None:
    from slimgen.metrics.cache import Cache

    evaluator = Evaluator((images(0), images(1)), ["psnr", "ssim"], compute=CPU)
    values = evaluator.measure(halve)
    Cache(tmp_path / "c.jsonl").put("genotype", "supernet", evaluator.protocol, values)
    assert Cache(tmp_path / "c.jsonl").get("genotype", "supernet", evaluator.protocol) == values
