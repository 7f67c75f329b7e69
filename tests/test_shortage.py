import errno

import numpy as np
import pytest
import torch

from slimgen.errors import CheckpointError, RunError
from slimgen.shortage import short_of_memory, shortage


def caught(call) -> BaseException:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - of whatever kind
        call()
    return raised.value


MEMORY = {
    "PyTorch": lambda: torch.empty(1 << 50),
    "numpy": lambda: np.empty(1 << 50),
    "Python": lambda: bytearray(1 << 60),
    "a GPU": lambda: _raise(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has")),
    "cuDNN": lambda: _raise(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")),
    "C++": lambda: _raise(RuntimeError("std::bad_alloc")),
    "onnxruntime": lambda: _raise(RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested")),
    "the loader": lambda: _raise(ImportError("libx.so: failed to map segment from shared object")),
    "the kernel": lambda: _raise(OSError(errno.ENOMEM, "Cannot allocate memory")),
}


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("whose", MEMORY)
def test_out_of_memory_from_any_library_is_one_line_with_advice(whose) -> None:
    told = shortage(caught(MEMORY[whose]), "teach", hint="lower teach.batch (now 4)")
    assert str(told).startswith("teach needs more memory than ")
    assert str(told).endswith("; lower teach.batch (now 4).")
    assert ("the GPU" in str(told)) == (whose in ("a GPU", "cuDNN"))
    assert "\n" not in str(told)
    if whose in ("PyTorch", "a GPU"):
        assert ("no room for another 4503599.6 GB" if whose == "PyTorch" else "another 20.00 GiB") in str(told)


@pytest.mark.parametrize(
    "error", [ValueError("out of memory lane"), RunError("not enough memory"), RuntimeError("shape")]
)
def test_an_error_that_only_quotes_the_words_is_no_shortage(error) -> None:
    assert not short_of_memory(error)
    assert shortage(error, "teach") is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_below_other_errors_is_one_line_with_its_folder(tmp_path, number) -> None:
    def write() -> None:
        try:
            raise OSError(number, "No space")
        except OSError as error:
            raise CheckpointError("a checkpoint must be written", error) from error

    told = str(shortage(caught(write), "teach", tmp_path))
    assert told.startswith("teach needs more room than the disk has; got ")
    assert f"in {tmp_path}; free some" in told
    assert ("left in" in told) == (number == errno.ENOSPC)


def test_the_folder_of_the_file_itself_is_named_where_it_is_known(tmp_path) -> None:
    error = OSError(errno.ENOSPC, "No space", str(tmp_path / "other" / "file"))
    assert f"left in {tmp_path / 'other'};" in str(shortage(error, "teach", tmp_path))
