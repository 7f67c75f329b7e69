import pytest

from slimgen.run.champion import Standing, budget, protocol_of, standing

ORIGINAL = {"name": "original", "macs": {"exact": 8_000, "thop": 9_000}, "params": 400, "bytes": 1_600, "metrics": {}}
LINE = (
    "psnr+fid@0123456789ab of 100 images against 100 of 32x32 px, content aa-bb, generator in float32, images rounded "
    "to 8 bits; fid: of Inception-v3; whole pictures"
)


def table(**found: float | None) -> dict:
    rows = [ORIGINAL, {**ORIGINAL, "name": "found", "metrics": found}]
    goals = {"psnr": "max", "fid": "min"}
    return {"rows": rows, "goals": goals, "convention": "exact", "size": 32, "protocol": LINE}


def record(metric: str = "psnr", **limits: object) -> dict:
    settings = {"budget": {"convention": "exact", **limits}, "evaluate": {"threads": 1}}
    return {"tags": {"metric": metric, "task": "paired"}, "settings": settings, "machine": {"cpu": "Abacus"}}


def of(value: float, metric: str = "psnr", **limits: object) -> Standing:
    found = standing(record(metric, **limits), table(**{metric: value}), "found")
    assert found is not None
    return found


@pytest.mark.parametrize(("metric", "better", "worse"), [("psnr", 21.0, 20.0), ("fid", 20.0, 21.0)])
def test_the_better_one_by_the_metrics_goal_beats_and_an_equal_one_does_not(metric, better, worse) -> None:
    assert of(better, metric).beats(of(worse, metric).tags())
    assert not of(worse, metric).beats(of(better, metric).tags())
    assert not of(better, metric).beats(of(better, metric).tags())


def test_only_the_same_limits_are_comparable_however_they_are_written() -> None:
    one = of(20.0, macs="1/8")
    assert one.about["budget"] == "macs 1,000 (exact)"
    assert one.comparable(of(19.0, macs=1000).tags())
    assert one.comparable(of(19.0, macs="12.5%").tags())
    for other in (of(19.0, macs="1/4"), of(19.0), of(19.0, macs="1/8", params=99), of(19.0, macs=1000, latency_ms=1.5)):
        assert not one.comparable(other.tags())
        assert not one.beats(other.tags())


def test_another_task_size_metric_or_set_of_images_is_another_class() -> None:
    one = of(20.0)
    others = [
        standing({**record(), "tags": {"metric": "psnr", "task": "labels"}}, table(psnr=1.0), "found"),
        standing(record(), {**table(psnr=1.0), "size": 64}, "found"),
        standing(record(), {**table(psnr=1.0), "protocol": LINE.replace("aa-bb", "aa-cc")}, "found"),
        standing(record(), table(psnr=1.0), "found", "_reverse"),
        of(1.0, "fid"),
    ]
    assert not any(one.beats(other.tags()) for other in others if other is not None)
    assert len({one.key, *(other.key for other in others if other is not None)}) == 6


def test_milliseconds_belong_to_the_processor_that_they_were_measured_with() -> None:
    assert budget(record(latency_ms=1.5), ORIGINAL, "exact") == "latency_ms 1.5 (Abacus, 1 threads)"


def test_without_an_original_a_share_stays_a_share_and_without_limits_there_are_none() -> None:
    assert budget(record(params="1/8"), None, "exact") == "params 1/8"
    assert budget(record(), ORIGINAL, "exact") == "none"


def test_a_metric_measured_besides_changes_no_protocol() -> None:
    alone = protocol_of(LINE, "psnr", {"psnr": "max", "fid": "min"})
    assert alone == (
        "psnr of 100 images against 100 of 32x32 px, content aa-bb, generator in float32, images rounded to 8 bits; "
        "whole pictures"
    )
    assert protocol_of(LINE, "fid", {"psnr": "max", "fid": "min"}).startswith("fid@0123456789ab of 100 images")
    assert alone == protocol_of(alone, "psnr", {"psnr": "max"})


def test_an_objective_that_was_not_measured_gives_way_to_the_first_metric_and_nothing_measured_to_none() -> None:
    found = standing(record("lpips"), table(fid=20.0), "found")
    assert found is not None
    assert (found.about["metric"], found.goal, found.score) == ("fid", "min", 20.0)
    assert standing(record(), table(), "found") is None
    assert standing(record(), table(psnr=None), "found") is None
    assert standing(record(), table(psnr=20.0), "nobody") is None


def test_a_version_without_a_class_or_with_a_damaged_score_is_beaten_by_none() -> None:
    one = of(20.0)
    assert not one.beats({})
    assert not one.beats({**one.tags(), "score": "high"})
