"""The runtimes to which a generator can be converted, and what each converter needs."""

from collections.abc import Mapping
from dataclasses import dataclass

from slimgen.errors import SlimgenError, nearest

TORCH, ONNX = "torch==2.13.0", "onnx==1.23.2"
BESIDE = "onnxruntime==1.31.1"  # agreement and times are measured beside it


@dataclass(frozen=True)
class Target:
    """A runtime.

    Attributes:
        name: the converter's module in `converters`, and the folder of what it makes.
        title: the runtime's own name.
        packages: what its environment holds, with exact versions.
        alone: likewise, but installed without what they ask for and the converter does not use.
        modules: the modules that must be there to convert.
        gigabytes: room on the disk that the environment takes, where PyTorch is its CPU build.
        calibrates: whether it makes a form in 8-bit integers, from training images.
        runs_on: the only system that runs the result; empty if this one does, whichever it is.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    gigabytes: float
    alone: tuple[str, ...] = ()
    calibrates: bool = False
    runs_on: str = ""

    @property
    def distributions(self) -> tuple[str, ...]:
        """The names of its packages, without versions."""
        return tuple(one.partition("==")[0] for one in (*self.packages, *self.alone))


TARGETS: Mapping[str, Target] = {
    one.name: one
    for one in (
        Target(
            "ncnn",
            "ncnn",
            ("ncnn==1.0.20261020", ONNX, BESIDE),
            ("ncnn", "pnnx", "onnx"),
            0.3,
            alone=("pnnx==20261020",),  # it asks for PyTorch, which its converter of ONNX does not use
        ),
        Target(
            "litert",
            "LiteRT",
            ("litert-torch==0.10.0", TORCH, ONNX, BESIDE),
            ("litert_torch", "ai_edge_litert", "torch", "onnx"),
            2.2,
        ),
        Target(
            "openvino",
            "OpenVINO",
            ("openvino==2026.4.1", "nncf==3.4.0", BESIDE),
            ("openvino", "nncf"),
            0.6,
            calibrates=True,
        ),
        Target(
            "executorch",
            "ExecuTorch",
            ("executorch==1.5.1", TORCH, ONNX, BESIDE),
            ("executorch", "torch", "onnx"),
            1.6,
        ),
        Target(
            "coreml",
            "CoreML",
            ("coremltools==9.0", TORCH, ONNX),
            ("coremltools", "torch", "onnx"),
            1.1,
            runs_on="Darwin",
        ),
    )
}


def target_of(name: str) -> Target:
    """Return a target by its name.

    Raises:
        SlimgenError: there is none of that name.
    """
    if name not in TARGETS:
        raise SlimgenError("--to must name a runtime", repr(name), nearest(name, TARGETS))
    return TARGETS[name]
