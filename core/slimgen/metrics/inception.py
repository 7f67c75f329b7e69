"""pytorch-fid's Inception-v3, loaded from a local file."""

import contextlib
import importlib.util
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from slimgen.errors import WeightsError, reason
from slimgen.files import is_file

WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"
_LOCK = threading.Lock()
_DECLARED: list[torch.library.Library] = []


def find_weights(path: str | Path | None = None) -> Path:
    """Return the file of Inception weights: the given path, `SLIMGEN_INCEPTION`, or pytorch-fid's cache, in this order.

    Nothing is ever downloaded.

    Raises:
        WeightsError: there is no such file; the message says where it looked and what to do.
    """
    if path is None:
        path = os.environ.get("SLIMGEN_INCEPTION") or Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    found = Path(path).expanduser()
    if not is_file(found):
        raise WeightsError(
            "fid, clean_fid, kid and is need pytorch-fid's Inception weights",
            f"no file {found}",
            f"put {WEIGHTS} from pytorch-fid's releases there, or set another path in SLIMGEN_INCEPTION "
            "or in the recipe: evaluate.features: {inception: {path: ...}}; fd:<name>, kid:<name> and is:<name> work "
            "with a user-defined network",
        )
    return found


class Inception(nn.Module):
    """pytorch-fid's network, from images (N, 3, 299, 299) in [-1, 1] to Inception's pooled features (N, 2048).

    BatchNorms are folded into the convolutions, which run in channels_last: 1.5 to 2 times as fast, with features equal
    to pytorch-fid's to about 3e-7. The head (1008, 2048) maps the features to class scores.
    """

    def __init__(self, net: nn.Module, head: Tensor) -> None:
        super().__init__()
        for module in net.modules():
            convolution, norm = getattr(module, "conv", None), getattr(module, "bn", None)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module.conv, module.bn = fuse_conv_bn_eval(convolution, norm), nn.Identity()
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head: Tensor
        self.register_buffer("head", head)

    def forward(self, images: Tensor) -> Tensor:
        """Map images to features."""
        features: Tensor = self.net(images.contiguous(memory_format=torch.channels_last))[0]
        return features.flatten(1)


def load_inception(path: Path) -> Inception:
    """Load pytorch-fid's network up to the final pooling, in evaluation mode, without its resizing and scaling.

    Raises:
        WeightsError: the file is damaged, unsafe or of another network.
    """
    state = load_state("Inception", path)
    import_torchvision()
    from pytorch_fid import inception

    # pytorch-fid can only build its network from a download: give it the local file instead.
    with _LOCK:
        download = inception.load_state_dict_from_url
        inception.load_state_dict_from_url = lambda url, progress=True: state
        try:
            net: nn.Module = inception.InceptionV3(resize_input=False, normalize_input=False)
        except (RuntimeError, AttributeError, TypeError) as error:
            rule = "Inception weights must fit pytorch-fid's network"
            raise WeightsError(rule, f"{path}: {reason(error)}") from error
        finally:
            inception.load_state_dict_from_url = download
    # The original Inception score uses scores without the bias. The state dict has fitted, so it holds this name.
    return Inception(net.eval(), state["fc.weight"].clone()).eval().requires_grad_(False)


def load_state(noun: str, path: Path) -> Mapping[str, Tensor]:
    """Load a state dict from a file to the CPU; raise WeightsError for files that torch cannot load safely."""
    try:
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        rule = f"{noun} weights must be a state dict that torch can load safely"
        raise WeightsError(rule, f"{path}: {reason(error)}") from error
    return state


def import_torchvision() -> None:
    """Import torchvision, even if its compiled operators cannot be loaded with this build of torch.

    In that case (torch and torchvision wheels from different indexes), the import fails while it registers tracing
    versions of two operators that Inception does not use. Declaring the operators' signatures first avoids this.
    """
    with _LOCK:
        if not _compiled_operators() and not _DECLARED:
            library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            for name in ("nms", "qnms"):
                signature = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                library.define(signature)  # type: ignore[no-untyped-call]
            # A library's operators live as long as it does.
            _DECLARED.append(library)
        import torchvision  # noqa: F401


def _compiled_operators() -> bool:
    """Return whether torchvision's operators can be loaded, from their file: the package may not be importable."""
    if hasattr(torch.ops.torchvision, "nms"):
        return True
    found = importlib.util.find_spec("torchvision")
    for folder in (found.submodule_search_locations or []) if found else []:
        for compiled in Path(folder).glob("_C.*"):
            with contextlib.suppress(OSError):
                torch.ops.load_library(compiled)  # type: ignore[no-untyped-call]
                return hasattr(torch.ops.torchvision, "nms")
    return False
