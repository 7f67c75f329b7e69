"""Feature networks of the metrics: pytorch-fid's Inception, or a user-defined one."""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.errors import DataError, RecipeError, SlimgenError, WeightsError, nearest, reason
from slimgen.files import is_file, sha256_file
from slimgen.metrics.inception import find_weights, load_inception
from slimgen.metrics.kinds import SEEN, Networks
from slimgen.metrics.pixels import eight_bit
from slimgen.size import Size

_HALF = (0.5, 0.5, 0.5)
_CLEAN = (128 / 255,) * 3  # clean-fid's mean and divisor of levels, 128, where pytorch-fid has 127.5
INCEPTION, INPUT = "inception", Size(299, 299)
CLEAN = "clean inception"  # the same network behind clean-fid's preprocessing (Parmar et al. 2022)
_LARGEST = 4096
RESERVED = {INCEPTION: "pytorch-fid's Inception", "lpips": "the metric lpips"}


@dataclass(frozen=True)
class FeatureNetwork:
    """A network with fixed preprocessing, from images to features; equal digests give equal features.

    Attributes:
        digest: of the file of weights and the preprocessing.
        run: preprocessed images (N, 3, H, W) to features (N, d) or maps (N, d, H, W).
        size: height and width to resize images to; None for no resizing.
        mean: subtracted from each channel of images in [0, 1].
        std: the divisor of each channel after that.
        head: weights (K, d) that map features to the scores of K classes; None where the features are the scores.
        clean: whether images are resized as in clean-fid; see `resized`.
    """

    digest: str
    run: Callable[[Tensor], Tensor]
    size: Size | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    head: Tensor | None = None
    clean: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [-1, 1] to features (N, d); feature maps are averaged over their positions."""
        return self.pooled(self.raw(images))

    def raw(self, images: Tensor) -> Tensor:
        """Return the network's output for images (N, 3, H, W) in [-1, 1].

        Images are rounded to 8 bits, divided by 255, resized and normalised. Grey images become RGB.

        Raises:
            DataError: the images have neither 1 nor 3 channels.
            WeightsError: the network returns neither features nor feature maps, one for each image.
        """
        if images.shape[1] not in SEEN:
            raise DataError("images for a feature network must be RGB or grey", f"{images.shape[1]} channels")
        images = eight_bit(images).div_(255)
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if self.size is not None:
            images = resized(images, self.size, self.clean)
        # One memory layout on every path, so that results do not depend on the layout of the generator's output.
        images = images.contiguous()
        mean, std = (images.new_tensor(numbers)[:, None, None] for numbers in (self.mean, self.std))
        found = self.run((images - mean).div_(std))
        rule = "a feature network must return one tensor of floats, (N, d) or (N, d, H, W)"
        if not isinstance(found, Tensor):
            raise WeightsError(rule, f"a {type(found).__name__}", "return the features only")
        if found.dim() not in (2, 4) or len(found) != len(images) or not found.is_floating_point():
            raise WeightsError(rule, f"{tuple(found.shape)} of {str(found.dtype).removeprefix('torch.')}")
        return found

    def pooled(self, found: Tensor) -> Tensor:
        """Return features (N, d) from the network's output."""
        return found.mean(dim=(2, 3)) if found.dim() == 4 else found

    def logits(self, features: Tensor) -> Tensor:
        """Return the class scores (N, K) of features (N, d)."""
        return features if self.head is None else features @ self.head.T


def resized(images: Tensor, size: Size, clean: bool) -> Tensor:
    """Resize images (N, C, H, W) in [0, 1] to (N, C, *size).

    As pytorch-fid does: bilinearly, without antialiasing. Or, if `clean`, as clean-fid does (Parmar et al. 2022): each
    channel in float by Pillow's bicubic kernel, which is stretched where images become smaller, and cut to [0, 1].
    """
    if not clean:
        return functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
    if images.shape[-2:] == tuple(size):
        return images
    # PyTorch's antialiased kernel is Pillow's (a = -0.5, cut off at the edges), also where images become larger. Its
    # weights have the type of the images, and Pillow's are doubles.
    found = functional.interpolate(images.double(), size=size, mode="bicubic", align_corners=False, antialias=True)
    return found.clamp_(0, 1).to(images.dtype)


class Settings(NamedTuple):
    """The file of a network and its preprocessing; see `FeatureNetwork`."""

    path: Path
    size: Size | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


def network_of(metric: str) -> str:
    """Return the name of the network that a metric uses: the part after the colon, or Inception with a preprocessing.

    Metrics with equal names of networks share their features.
    """
    return metric.partition(":")[2] or (CLEAN if metric == "clean_fid" else INCEPTION)


def settings(metric: str, features: Networks) -> Settings:
    """Read and check the recipe's options for a metric's network, including that its file exists. Loads nothing.

    Raises:
        RecipeError: no network has this name, or its options are invalid.
        WeightsError: the network's file is missing.
    """
    name = network_of(metric)
    if ":" not in metric:
        options, scale = features.get(INCEPTION, {}), _CLEAN if name == CLEAN else _HALF
        require_known(INCEPTION, options, ("path",))
        return Settings(find_weights(str(options["path"]) if "path" in options else None), INPUT, scale, scale)
    if name in RESERVED:
        plain = {"fd": "fid"}.get(family := metric.partition(":")[0], family)
        hint = f"use the metric {plain}" if name == INCEPTION else "choose another name"
        raise RecipeError(f"the name {name} is reserved for {RESERVED[name]}", repr(metric), hint)
    if name not in features:
        hint = nearest(name, features) if features else "name it under evaluate.features"
        raise RecipeError(f"{metric} needs a feature network called {name}", None, hint)
    options = features[name]
    require_known(name, options, ("path", "size", "mean", "std", "classes", "tolerance"))
    try:
        size = None if options.get("size") is None else Size.of(options["size"])
    except SlimgenError as error:
        raise RecipeError(f"size of feature network {name}: {error.rule}", error.got) from None
    if size is not None and max(size) > _LARGEST:
        raise RecipeError(f"size of feature network {name} must have sides of at most {_LARGEST} pixels", size)
    mean, std = (_three(name, key, options.get(key, _HALF)) for key in ("mean", "std"))
    if not all(std):
        raise RecipeError(f"std of feature network {name} must not be zero: it is a divisor", std)
    return Settings(require_file(name, options, "a TorchScript (.pt) or ONNX file"), size, mean, std)


def open_features(metric: str, features: Networks, device: torch.device) -> FeatureNetwork:
    """Open the network of a metric of features or segmentations, such as `fid` (Inception's) or `fd:<name>`.

    In the recipe each network has a name and these options: `path` to a TorchScript (.pt, .ts) or ONNX file; `size` to
    resize images to, a square's side or [height, width] (no resizing without it); `mean` and `std` of images in [0, 1]
    (0.5 each by default); and, for segmentation, `classes` and `tolerance`, see `slimgen.metrics.segmentation`. The
    name `inception` is pytorch-fid's network, whose only option is `path`.

    Raises:
        RecipeError: no network has this name, or its options are invalid.
        WeightsError: the network's file is missing or cannot be loaded.
    """
    path, size, mean, std = settings(metric, features)
    if ":" not in metric:
        net, clean = load_inception(path).to(device), network_of(metric) == CLEAN
        how = "inception, norms in convolutions" + (", clean" if clean else "")
        return FeatureNetwork(digest_of(path, how), net, size, mean, std, net.head, clean)
    run = _onnx(path) if path.suffix == ".onnx" else load_torchscript(path, device)
    return FeatureNetwork(digest_of(path, f"{size and size.plain} {mean} {std}"), run, size, mean, std)


def require_known(name: str, options: Mapping[str, object], known: tuple[str, ...]) -> None:
    """Raise RecipeError for an option that a network does not have."""
    if unknown := [option for option in options if option not in known]:
        raise RecipeError(f"feature network {name} has no option {unknown[0]!r}", None, nearest(unknown[0], known))


def require_file(name: str, options: Mapping[str, object], kind: str) -> Path:
    """Return the file of a network; raise RecipeError without a path, WeightsError where there is no such file."""
    if "path" not in options:
        raise RecipeError(f"feature network {name} needs a path", None, kind)
    if not isinstance(options["path"], str):
        raise RecipeError(f"path of feature network {name} must be text", repr(options["path"])[:80], kind)
    path = Path(options["path"]).expanduser()
    if not is_file(path):
        hint = f"make one as examples/resnet20.py does, or set evaluate.features.{name}.path to where it is"
        raise WeightsError(f"feature network {name} needs its weights, {kind}", f"no file {path}", hint)
    return path


def _three(name: str, key: str, value: object) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * 3
    if len(values) != 3 or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        raise RecipeError(f"{key} of feature network {name} must be one number or three", repr(value))
    return tuple(float(number) for number in values)


def load_torchscript(path: Path, device: torch.device) -> nn.Module:
    """Load a network from a TorchScript file, in evaluation mode; raise WeightsError for any other file."""
    try:
        with warnings.catch_warnings():
            # torch warns at every load that TorchScript is deprecated; its files are still the most common ones.
            warnings.simplefilter("ignore", DeprecationWarning)
            net: nn.Module = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise WeightsError(f"cannot load {path} as TorchScript", reason(error), "save it by torch.jit.save") from error
    return net.eval()


def _onnx(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise WeightsError(f"cannot run {path} in onnxruntime", reason(error)) from error
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: images.cpu().numpy()})[0]).to(images.device)

    return run


def digest_of(path: Path, preprocessing: str) -> str:
    """Return the SHA-256 of a file's content and its preprocessing, in hexadecimal."""
    return hashlib.sha256(f"{sha256_file(path)} {preprocessing}".encode()).hexdigest()
