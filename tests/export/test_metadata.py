from pathlib import Path

import onnx
import onnxruntime
from torch import nn

from slimgen.export.metadata import CARD, UNKNOWN, digest_of, properties_of, stamped
from slimgen.export.onnx import export_onnx


def test_a_runtime_reads_what_a_file_says_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "generator.onnx"
    export_onnx(nn.Conv2d(3, 3, 1), path, height=8, width=8)
    says = {"name": "houses", "licence": "CC BY 4.0", "genotype": '{"c0":8}', "empty": "", CARD: UNKNOWN}
    path.write_bytes(stamped(onnx.load(path), says, "1.2"))
    meta = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_modelmeta()
    assert meta.producer_name == "slimgen"
    assert meta.custom_metadata_map == {name: value for name, value in says.items() if value}
    assert onnx.load(path).producer_version == "1.2"


def test_the_digest_of_a_card_changes_no_size_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "generator.onnx"
    export_onnx(nn.Conv2d(3, 3, 1), path, height=8, width=8)
    before = stamped(onnx.load(path), {"name": "a", CARD: UNKNOWN}, "1")
    digest = digest_of({"quality": {"psnr": 20.5}, "name": "a"})
    after = stamped(onnx.load(path), {"name": "a", CARD: digest}, "1")
    assert len(before) == len(after)
    assert before.replace(UNKNOWN.encode(), digest.encode()) == after
    assert properties_of(after) == {"name": "a", CARD: digest}
    assert digest == digest_of({"name": "a", "quality": {"psnr": 20.5}})  # whatever the order
    assert digest != digest_of({"quality": {"psnr": 20.6}, "name": "a"})
