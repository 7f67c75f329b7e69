"""Shapes of a data set's pictures, and the changes that resizing them to one size makes."""

import math
from dataclasses import dataclass, field

from slimgen.data.shapes import Frame
from slimgen.size import Size, alike


@dataclass
class Shapes:
    """Shapes of the usable images, and the changes that resizing them to one size makes."""

    frame: Frame | None
    seen: set[Size] = field(default_factory=set)
    count: int = 0
    changed: list[float] = field(default_factory=list)

    def see(self, shape: Size) -> None:
        """Record a picture's height and width."""
        if self.frame is not None and not alike(shape, self.frame.size):
            self.changed.append(_change(shape, self.frame.shape_of(shape), self.frame))
        self.seen.add(shape)
        self.count += 1

    @property
    def facts(self) -> dict[str, object]:
        """Shapes and number of changed images, for programs."""
        shapes = [list(shape) for shape in sorted(self.seen)]
        fit = {} if self.frame is None else {"fit": self.frame.fit, "changed": len(self.changed)}
        return {"shapes": shapes, **fit}

    @property
    def lines(self) -> dict[str, str]:
        """The same as text, for people."""
        if not self.seen:
            return {}
        (high, wide), (highest, widest) = (Size(*map(end, zip(*self.seen, strict=True))) for end in (min, max))
        span = f"{_span(high, highest)} high, {_span(wide, widest)} wide"
        if self.frame is None:
            return {"pixels": span}
        what = f"all are resized to {self.frame.size}"
        if self.changed and self.frame.fit is not None:
            worst = _WORDS[self.frame.fit].format(max(self.changed))
            others = f"{len(self.changed)} of {self.count} have another aspect ratio"
            what = f"resized to {self.frame.size}; {others} and are {worst}"
        return {"pixels": span, "fit": what}


_WORDS = {
    "squash": "squashed, which stretches them by a factor of up to {:.2f}",
    "crop": "cropped, which removes up to {:.0%} of a picture",
    "pad": "padded with their edges, which fill up to {:.0%} of a picture",
}


def _change(shape: Size, fitted: Size, frame: Frame) -> float:
    """Return the change of an image: the factor of its aspect ratio, or the share removed or added."""
    if frame.fit == "squash":
        times = shape.height * frame.size.width / (shape.width * frame.size.height)
        return max(times, 1 / times)
    pixels, made = math.prod(shape), math.prod(fitted)
    return 1 - min(pixels, made) / max(pixels, made)


def _span(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"
