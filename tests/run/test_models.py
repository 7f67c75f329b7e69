from slimgen.files import CARD, ONNX, write_json
from slimgen.run.models import exported, generators, of_files, short
from slimgen.run.record import read_record

VARIANTS = [
    {"name": "fp32", "file": ONNX, "bytes": 900, "quality": {"psnr": 24.1}, "p50_ms": 6.8, "recommended": False},
    {"name": "int8", "file": "generator_int8.onnx", "bytes": 300, "quality": {"psnr": 24.0}, "p50_ms": 2.5}
    | {"max_abs": 0.2, "change": {"psnr": -0.1}, "recommended": True},
]


def test_each_variant_has_its_bytes_milliseconds_and_quality() -> None:
    assert of_files({}, {"variants": VARIANTS}, "") == {
        **{"fp32.bytes": 900, "fp32.p50_ms": 6.8},
        **{"int8.bytes": 300, "int8.p50_ms": 2.5, "int8.max_abs": 0.2, "int8.psnr": 24.0},
        "recommended": "int8",
    }


def test_without_variants_on_its_card_a_file_has_the_stages_figures() -> None:
    metrics = {"bytes": 900, "reverse_bytes": 800, "onnxruntime_p50_ms": 6.8, "parity_max_abs": 1e-6, "opset": 20}
    assert of_files({"metrics": metrics}, {}, "") == {"fp32.bytes": 900, "fp32.p50_ms": 6.8, "fp32.max_abs": 1e-6}
    assert of_files({"metrics": metrics}, {}, "_reverse") == {"fp32.bytes": 800}


def test_both_directions_are_exported_with_the_files_beside_them_and_nothing_of_an_unfinished_stage(tmp_path) -> None:
    for name in (ONNX, "generator_int8.onnx", "generator_reverse.onnx"):
        (tmp_path / name).write_bytes(b"x")
    write_json(tmp_path / "card.json", {"row": "found", "variants": VARIANTS, "cost": {"macs (thop)": 7, "bytes": 4}})
    write_json((tmp_path / CARD).with_name("card_reverse.json"), {"row": "found_reverse"})
    record = {"finished": True, "metrics": {}, "tags": {"recipe": "r", "quick": "true"}, "settings": {}}
    (forth, row), (back, other) = exported(tmp_path, record, None, "mine")
    assert (forth.name, back.name, row, other) == ("mine", "mine_reverse", "found", "found_reverse")
    assert [path.name for path in forth.beside] == ["generator_int8.onnx"]
    assert forth.tags["macs.thop"] == "7"
    assert forth.tags["recommended"] == "int8"
    assert forth.figures["int8.p50_ms"] == 2.5
    assert (forth.standing, back.beside) == (None, ())
    assert list(exported(tmp_path, {**record, "finished": False}, None, "mine")) == []


def test_rows_that_no_generator_made_are_no_models_and_originals_have_the_recipes_options(tiny_run) -> None:
    costs = {"macs": {"exact": 7}, "params": 1, "bytes": 4}
    rows = [{"name": "original", "family": "resnet", "metrics": {"psnr": 20.0, "fid": None}, **costs}]
    table = {"rows": [*rows, {"name": "bicubic", "metrics": {"psnr": 1.0}, "macs": {}}], "convention": "exact"}
    (original,) = generators(read_record(tiny_run / "evaluate"), table, {})
    assert original.quality == {"psnr": 20.0}
    assert original.costs == {"macs": 7.0, "params": 1.0, "bytes": 4.0}
    assert {"family": "resnet", "ngf": "8", "blocks": "1"}.items() <= original.params.items()


def test_a_genotype_is_one_text() -> None:
    assert short({"path": "4-2-1", "channel.stem": 0.5}) == "path 4-2-1, channel.stem 0.5"
