"""An exported file as a network, so that it is measured like one."""

from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slimgen.cost.latency import onnx_session
from slimgen.export.tiled import enlarge
from slimgen.export.tiling import Tiling


class OnnxGenerator(nn.Module):
    """Network that computes in onnxruntime on the CPU, wherever its inputs lie.

    Args:
        path: a file with one float32 input and one output.
        threads: threads within an operator; 0 means one per core.
        tiles: how pictures of sides that the file does not take pass through it, as on its card; None if none do.
    """

    def __init__(self, path: Path, threads: int = 0, tiles: Tiling | None = None) -> None:
        super().__init__()
        self._tiles = tiles
        self._session = onnx_session(path, threads)
        given = self._session.get_inputs()[0]
        self._name = given.name
        self._batch = given.shape[0] if isinstance(given.shape[0], int) else None
        self._fixed = all(isinstance(side, int) for side in given.shape[2:])

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs for inputs of a shape that the file takes, or with tiles of any; float32, on their device.

        A file of one batch size gets the inputs in parts of it.
        """
        given = inputs.detach().float().cpu().contiguous()
        parts = torch.split(given, self._batch or max(1, len(given)))
        made = [torch.from_numpy(self._made(part.numpy())) for part in parts]
        return torch.cat(made).float().to(inputs.device)

    def _made(self, part: NDArray[Any]) -> NDArray[Any]:
        tiles = self._tiles
        if tiles is None:
            return self._run(part)
        how = {"overlap": tiles.overlap, "step": tiles.step, "multiple": tiles.multiple, "least": tiles.least}
        return enlarge(part, self._run, window=tiles.window if self._fixed else None, **how)  # type: ignore[arg-type]

    def _run(self, part: NDArray[Any]) -> NDArray[Any]:
        made: NDArray[Any] = self._session.run(None, {self._name: numpy.ascontiguousarray(part)})[0]
        return made
