"""An exported file as a network, so that it is measured like one."""

from pathlib import Path

import torch
from torch import Tensor, nn

from slimgen.cost.latency import onnx_session


class OnnxGenerator(nn.Module):
    """Network that computes in onnxruntime on the CPU, wherever its inputs lie.

    Args:
        path: a file with one float32 input and one output.
        threads: threads within an operator; 0 means one per core.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        super().__init__()
        self._session = onnx_session(path, threads)
        given = self._session.get_inputs()[0]
        self._name = given.name
        self._batch = given.shape[0] if isinstance(given.shape[0], int) else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs for inputs of a shape that the file takes, float32 on the inputs' device.

        A file of one batch size gets the inputs in parts of it.
        """
        given = inputs.detach().float().cpu().contiguous()
        parts = torch.split(given, self._batch or max(1, len(given)))
        made = [torch.from_numpy(self._session.run(None, {self._name: part.numpy()})[0]) for part in parts]
        return torch.cat(made).float().to(inputs.device)
