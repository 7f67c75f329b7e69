"""Pictures that several files of this folder run on."""

from pathlib import Path

import pytest

from townhouses import write


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, train=12, test=3, size=32)
    return folder
