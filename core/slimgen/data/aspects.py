"""The shapes of the pictures of a data set, and what making them of one size does to them."""

import math
from dataclasses import dataclass, field

from slimgen.data.shapes import Frame
from slimgen.size import Size, alike


@dataclass
class Shapes:
    """The shapes of the images that can be used, and what making them of one size does to them."""

    frame: Frame | None
    seen: set[Size] = field(default_factory=set)
    count: int = 0
    changed: list[float] = field(default_factory=list)

    def see(self, shape: Size) -> None:
        """Takes note of a picture's height and width."""
        if self.frame is not None and not alike(shape, self.frame.size):
            self.changed.append(_change(shape, self.frame.shape_of(shape), self.frame))
        self.seen.add(shape)
        self.count += 1

    @property
    def facts(self) -> dict[str, object]:
        """For programs: the shapes, and how many images are changed."""
        shapes = [list(shape) for shape in sorted(self.seen)]
        fit = {} if self.frame is None else {"fit": self.frame.fit, "changed": len(self.changed)}
        return {"shapes": shapes, **fit}

    @property
    def lines(self) -> dict[str, str]:
        """For people."""
        if not self.seen:
            return {}
        (high, wide), (highest, widest) = (Size(*map(end, zip(*self.seen, strict=True))) for end in (min, max))
        span = f"{_span(high, highest)} high, {_span(wide, widest)} wide"
        if self.frame is None:
            return {"pixels": span}
        what = f"all are resized to {self.frame.size}"
        if self.changed and self.frame.fit is not None:
            worst = _WORDS[self.frame.fit].format(max(self.changed))
            what = f"resized to {self.frame.size}; {len(self.changed)} of {self.count} are of another aspect: {worst}"
        return {"pixels": span, "fit": what}


_WORDS = {
    "squash": "squashed, so that things become up to {:.2f} times as wide or as high as they were",
    "crop": "cropped, which leaves out up to {:.0%} of a picture",
    "pad": "padded with their edges, which make up to {:.0%} of a picture",
}


def _change(shape: Size, fitted: Size, frame: Frame) -> float:
    """How much of an image changes: by which factor its aspect, or which share of it is left out or added."""
    if frame.fit == "squash":
        times = shape.height * frame.size.width / (shape.width * frame.size.height)
        return max(times, 1 / times)
    pixels, made = math.prod(shape), math.prod(fitted)
    return 1 - min(pixels, made) / max(pixels, made)


def _span(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"
