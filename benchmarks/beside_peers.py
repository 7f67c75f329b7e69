"""Paragraphs of docs/results.md on benchmarks that time published code against slimgen."""

from collections.abc import Mapping
from typing import Any


def evaluation(found: Mapping[str, Any]) -> str:
    """Return the paragraph on the evaluation of candidates."""
    rows = [
        "| objective | published | slimgen | type | speed-up | difference | share of the machine's limit |",
        "| --- " * 7 + "|",
    ]
    for metric, result in found["metrics"].items():
        unit = "dB" if metric == "psnr" else "relative"
        for compute, ours in result["ours"].items():
            share = sum(ours["limit"].values()) / ours["seconds"]
            rows.append(
                f"| {metric} | {result['peers']:.2f} s | {ours['seconds']:.2f} s | {_kind(compute)} | "
                f"{ours['ratio']:.1f}x | {ours['difference']:.1e} {unit} | {share:.2f} |"
            )
    same = found["metrics"].get("fid", {}).get("of the same images")
    head = (
        f"**Time to evaluate a candidate** on {found['images']} images of {found['size']} px, as GAN Compression's "
        f"authors published it and in slimgen: sub-networks of {found['space']}, in turns in one run; Inception has "
        "random weights"
    )
    if same is not None:
        head += f". For the same generated images, both distances differ by a relative {same:.0e}"
    return "\n".join([f"{head}. `{found['command']}`", "", *rows])


def distillation(found: Mapping[str, Any]) -> str:
    """Return the paragraph on steps of once-for-all training."""
    rows = [
        "| | s per step | speed-up | share of the machine's limit |",
        "| --- " * 4 + "|",
        f"| published | {found['peers']:.3f} | | |",
    ]
    for compute, ours in found["ours"].items():
        rows.append(
            f"| slimgen, {_kind(compute)} | {ours['seconds']:.3f} | {ours['ratio']:.2f}x | {ours['share']:.2f} |"
        )
    apart = max(next(iter(found["ours"].values()))["first step apart"].values())
    head = (
        "**Time of a once-for-all training step** with a mobile teacher, as GAN Compression's authors published it and "
        f"in slimgen: {found['size']} px, batch size {found['batch']}, alternating in one run. The first step's losses "
        f"in fp32 differ by at most {apart:.0e}. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def enumeration(found: Mapping[str, Any]) -> str:
    """Return the paragraph on counting configurations."""
    return (
        f"**Counting all {found['configurations']:,} configurations** of {found['space']}, and listing the "
        f"{found['inside']:,} that use at least {found['low']:.0%} of a budget, takes {found['seconds']:.2f} s and "
        f"{found['MiB']:.0f} MiB; one by one, it would take {found['loop']:.0f} s. `{found['command']}`"
    )


def co_evolution(found: Mapping[str, Any]) -> str:
    """Return the paragraph on the evaluation of pairs of masks."""
    named = {"published": "published", "zeroed": "slimgen, filters zeroed instead of cut"}
    rows = ["| | s per candidate | speed-up |", "| --- " * 3 + "|"]
    for way, seconds in found["seconds"].items():
        name = named.get(way) or f"slimgen, {_kind(way.removeprefix('cut, '))}"
        rows.append(f"| {name} | {seconds:.3f} | {found['ratio'][way]:.1f}x |")
    head = (
        f"**Time to evaluate a pair of masks** on {found['images']} images of {found['size']} px, as Co-Evolutionary "
        "Compression's authors published it and in slimgen: half of the filters of two ResNets with 9 blocks, in turns "
        f"in one run. Fitness values in fp32 differ by a relative {found['apart']:.0e}. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def _kind(compute: str) -> str:
    """Return the number type in a compute's name, such as `cpu bf16 channels_last 2 threads`."""
    return compute.split()[1]
