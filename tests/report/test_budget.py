from slimgen.report.budget import limits_words, spent


def test_costs_are_shown_against_every_limit() -> None:
    costs = {"macs": 70.1e6, "params": 89_000, "bytes": 356_000}
    assert spent(costs, {"macs": 70.9e6}) == "70.1 M of 70.9 M MACs, 89.0 k parameters; budget kept"
    over = spent(costs, {"macs": 50e6, "bytes": 400_000})
    assert (
        over
        == "70.1 M of 50.0 M MACs, 89.0 k parameters, 348 KiB of 391 KiB of weights; budget NOT kept: too many MACs"
    )
    late = spent({**costs, "latency_ms": 1.551}, {"latency_ms": 1.5})
    assert late.endswith("1.55 of 1.5 ms; budget NOT kept: too many ms")
    assert spent(costs, {}).endswith("; no budget")
    assert limits_words({"macs": 70.9e6, "latency_ms": 1.5}) == "70.9 M MACs, 1.5 ms"
    assert limits_words({}) == "none"
