"""Tables of a model card in Markdown, among them those of an exported file's variants and other editions."""

from collections.abc import Iterable, Mapping, Sequence

from slimgen.export.editions import Edition
from slimgen.export.formats import FP16, INT8
from slimgen.export.variants import Variant
from slimgen.text import markdown

Value = str | int | float | bool | None


def variants_table(variants: Sequence[Variant], calibrated: str) -> list[str]:
    """Return the table of number formats, and what to take where: two paragraphs of Markdown."""
    metrics = list(dict.fromkeys(metric for one in variants for metric in one.quality))
    plain = variants[0]
    lines = []
    for one in variants:
        smaller = f"{plain.bytes / one.bytes:.2f}x" if one is not plain else ""
        faster = f"{plain.p50_ms / one.p50_ms:.2f}x" if one is not plain and plain.p50_ms and one.p50_ms else ""
        signed = {metric: "" if one is plain else _signed(one.change.get(metric)) for metric in metrics}
        values = [f"{text(one.quality.get(metric))}{signed[metric]}" for metric in metrics]
        best = " (recommended)" if one.recommended else ""
        times = [text(one.p50_ms), text(one.p95_ms)]
        lines.append((f"{one.name}{best}", f"`{one.file}`", f"{one.bytes:,}", smaller, *values, *times, faster))
    heads = ("", "file", "bytes", "smaller by", *map(markdown, metrics), "median ms", "95th percentile ms", "faster by")
    about = [
        "Values on the test images, in onnxruntime (the change from fp32 in brackets); milliseconds per image in "
        "onnxruntime on the CPU that exported them, the variants in turns."
    ]
    names = {one.name for one in variants}
    if INT8 in names:
        about.append(f"Value ranges of int8 come from {calibrated}.")
    if FP16 in names:
        about.append(
            "fp16 is for devices that compute in half precision; a CPU that does not computes in float32, no faster."
        )
    return [rows(heads, lines), " ".join(about)]


def _signed(change: float | None) -> str:
    return "" if change is None else f" ({change:+.3g})"


def editions_table(editions: Sequence[Edition]) -> str:
    """Return the table of other editions of the file."""
    checked = any(one.verdict for one in editions)
    lines = [
        (f"`{one.file}`", markdown(one.about), f"{one.bytes:,}", text(one.max_abs), *_verdict(one, checked))
        for one in editions
    ]
    return rows(("file", "", "bytes", "largest difference", *(["on phones"] * checked)), lines)


def _verdict(edition: Edition, checked: bool) -> tuple[str, ...]:
    return (markdown(edition.verdict),) if checked else ()


def records(records: Sequence[Mapping[str, Value]]) -> str:
    """Return a table with a column for each name in the records."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return rows(map(markdown, names), [[text(record.get(name)) for name in names] for record in records])


def pairs(values: Mapping[str, Value]) -> str:
    """Return a table of names and values."""
    return rows(("", ""), [(markdown(name), text(value)) for name, value in values.items()])


def rows(names: Iterable[str], each: Iterable[Sequence[str]]) -> str:
    """Return a table with these headings and rows."""
    heading = list(names)
    lines = [heading, ["---"] * len(heading), *each]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def text(value: Value) -> str:
    """Return a value for people: whole numbers in groups of three, others with four digits."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return markdown(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if abs(value) < 1 else f"{value:,.3f}"
