"""Feature networks for distances between sets of images: pytorch-fid's Inception, or a network of the user's own."""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.errors import RecipeError, WeightsError, nearest
from slimgen.metrics.inception import find_weights, load_inception
from slimgen.metrics.pixels import eight_bit

_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class FeatureNetwork:
    """Images to features, by one fixed preprocessing.

    Attributes:
        digest: of the weights' file and the preprocessing; two networks of one digest give the same features.
        run: network from preprocessed images (N, 3, H, W) to features (N, d) or maps (N, d, H, W).
        size: height and width the images are resized to, or None.
        mean: subtracted from each channel of images in [0, 1].
        std: then divides each channel.
    """

    digest: str
    run: Callable[[Tensor], Tensor]
    size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, d) of images (N, 3, H, W) in [-1, 1]; maps are averaged over their positions.

        Images are rounded to 8 bits, divided by 255, resized bilinearly without smoothing and normalised, as
        pytorch-fid does. A grey image counts as RGB of three equal channels.

        Raises:
            WeightsError: the network returns something else than features of each image.
        """
        images = eight_bit(images).div_(255)
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if self.size is not None:
            size = (self.size, self.size)
            images = functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        # One layout on every path: results do not depend on how the generator laid out its output.
        images = images.contiguous()
        mean, std = (images.new_tensor(numbers)[:, None, None] for numbers in (self.mean, self.std))
        features = self.run((images - mean).div_(std))
        if features.dim() == 4:
            features = features.mean(dim=(2, 3))
        if features.dim() != 2 or len(features) != len(images):
            raise WeightsError("a feature network returns (N, d) or (N, d, H, W)", f"{tuple(features.shape)}")
        return features


def open_features(metric: str, features: Mapping[str, Mapping[str, object]], device: torch.device) -> FeatureNetwork:
    """Opens the feature network of a metric.

    Args:
        metric: `fid` or `fd:<name>`.
        features: by name, as in the recipe: `path` to a TorchScript (.pt, .ts) or ONNX file, `size` to resize to (left
            out: not resized), `mean` and `std` of images in [0, 1] (0.5 each). The name `inception` belongs to `fid`
            and has only a `path`.
        device: where the network runs.

    Raises:
        RecipeError: no network of that name, or options that make no sense.
        WeightsError: its file is missing or cannot be loaded.
    """
    if metric == "fid":
        options = features.get("inception", {})
        _known("inception", options, ("path",))
        path = find_weights(str(options["path"]) if "path" in options else None)
        net = load_inception(path).to(device)
        return FeatureNetwork(_digest(path, "inception"), lambda images: net(images)[0][:, :, 0, 0], 299, _HALF, _HALF)
    name = metric.removeprefix("fd:")
    if name == "inception":
        raise RecipeError("the distance of pytorch-fid's Inception is called fid", repr(metric))
    if name not in features:
        hint = nearest(name, features) if features else "name it under evaluate.features"
        raise RecipeError(f"{metric} needs a feature network called {name}", None, hint)
    return _own(name, features[name], device)


def _own(name: str, options: Mapping[str, object], device: torch.device) -> FeatureNetwork:
    """Opens a user's network."""
    _known(name, options, ("path", "size", "mean", "std"))
    if "path" not in options:
        raise RecipeError(f"feature network {name} needs a path", None, "a TorchScript (.pt) or ONNX file")
    size = options.get("size")
    if size is not None and (not isinstance(size, int) or size < 1):
        raise RecipeError(f"size of feature network {name} is a whole number of pixels", repr(size))
    mean, std = (_three(name, key, options.get(key, _HALF)) for key in ("mean", "std"))
    if not all(std):
        raise RecipeError(f"std of feature network {name} divides and so is not zero", std)
    path = Path(str(options["path"])).expanduser()
    if not path.is_file():
        raise WeightsError(f"feature network {name} is a TorchScript (.pt) or ONNX file", f"no file {path}")
    run = _onnx(path) if path.suffix == ".onnx" else _torchscript(path, device)
    return FeatureNetwork(_digest(path, f"{size} {mean} {std}"), run, size, mean, std)


def _known(name: str, options: Mapping[str, object], known: tuple[str, ...]) -> None:
    for option in options:
        if option not in known:
            raise RecipeError(f"feature network {name} has no option {option!r}", None, nearest(option, known))


def _three(name: str, key: str, value: object) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * 3
    if len(values) != 3 or not all(isinstance(number, int | float) for number in values):
        raise RecipeError(f"{key} of feature network {name} is one number or three", repr(value))
    return tuple(float(number) for number in values)


def _torchscript(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    try:
        with warnings.catch_warnings():
            # torch announces the end of TorchScript at every load; files of it stay the most common ones.
            warnings.simplefilter("ignore", DeprecationWarning)
            net: nn.Module = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise WeightsError("a feature network in a .pt file is TorchScript", f"{path}: {_first(error)}") from error
    return net.eval()


def _onnx(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise WeightsError(
            "a feature network in an .onnx file runs in onnxruntime", f"{path}: {_first(error)}"
        ) from error
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: images.cpu().numpy()})[0]).to(images.device)

    return run


def _first(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _digest(path: Path, preprocessing: str) -> str:
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(f"{content} {preprocessing}".encode()).hexdigest()
