"""Paragraphs of docs/results.md on the benchmarks that time the published way against slimgen's."""

from collections.abc import Mapping
from typing import Any


def evaluation(found: Mapping[str, Any]) -> str:
    """Return the paragraph on the evaluation of candidates."""
    rows = ["| objective | published | here | | ratio | off by | share of the limit |", "| --- " * 7 + "|"]
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
        f"**A candidate judged** on {found['images']} images of {found['size']} px, sub-networks of {found['space']}, "
        "the way GAN Compression's authors published and here, in turns in one run; Inception with drawn weights"
    )
    if same is not None:
        head += f". Of the same generated images, both ways' distances differ by {same:.0e}, relatively"
    return "\n".join([f"{head}. `{found['command']}`", "", *rows])


def distillation(found: Mapping[str, Any]) -> str:
    """Return the paragraph on steps of once-for-all training."""
    rows = [
        "| | s a step | ratio | share of the limit |",
        "| --- " * 4 + "|",
        f"| published | {found['peers']:.3f} | | |",
    ]
    for compute, ours in found["ours"].items():
        rows.append(f"| here, {_kind(compute)} | {ours['seconds']:.3f} | {ours['ratio']:.2f}x | {ours['share']:.2f} |")
    apart = max(next(iter(found["ours"].values()))["first step apart"].values())
    head = (
        f"**A once-for-all training step** under a mobile teacher, {found['size']} px, batch {found['batch']}, the way "
        "GAN Compression's authors published and here, step by step in one run; the first step's losses in fp32 are "
        f"equal to {apart:.0e}. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def enumeration(found: Mapping[str, Any]) -> str:
    """Return the paragraph on counting configurations."""
    return (
        f"**{found['configurations']:,} configurations** of {found['space']} counted, and the {found['inside']:,} that "
        f"fill at least {found['low']:.0%} of a budget listed, in {found['seconds']:.2f} s and {found['MiB']:.0f} MiB; "
        f"one by one it would take {found['loop']:.0f} s. `{found['command']}`"
    )


def co_evolution(found: Mapping[str, Any]) -> str:
    """Return the paragraph on the evaluation of pairs of masks."""
    named = {"published": "published", "zeroed": "filters zeroed, all else as here"}
    rows = ["| | s a candidate | ratio |", "| --- " * 3 + "|"]
    for way, seconds in found["seconds"].items():
        name = named.get(way) or f"here, {_kind(way.removeprefix('cut, '))}"
        rows.append(f"| {name} | {seconds:.3f} | {found['ratio'][way]:.1f}x |")
    head = (
        f"**A pair of masks judged** on {found['images']} images of {found['size']} px, half of the filters of two "
        "ResNets with 9 blocks, the way Co-Evolutionary Compression's authors published and here, in turns in one run; "
        f"fitnesses in fp32 differ by {found['apart']:.0e}, relatively. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


def _kind(compute: str) -> str:
    """Return the number type in a compute's name, such as `cpu bf16 channels_last 2 threads`."""
    return compute.split()[1]
