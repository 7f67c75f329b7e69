"""Tops of houses: mansard, tiled slope, parapet, stepped gable; chimneys and dormers."""

from townhouses.canvas import Canvas, Paint, Rect, tapered
from townhouses.classes import Colour
from townhouses.materials import brick, gradient, pantiles, slates
from townhouses.openings import STONE, window

LEAD: Colour = (92, 98, 112)


def chimney(canvas: Canvas, left: int, right: int, top: int, bottom: int) -> None:
    """Draw a brick stack with clay pots; paint it before the roof."""
    line = canvas.line
    course = max(2, round(0.75 * canvas.unit))
    canvas.fill((left, top, right, bottom), brick((138, 74, 58), (180, 150, 130), left, bottom, course, 1), "chimney")
    canvas.fill((left - line, top, right + line, top + line), (166, 130, 108), "chimney")
    pot = max(line, canvas.px(1))
    for x in (left, right - pot):
        canvas.fill(
            (x, top - canvas.px(2), x + pot, top),
            gradient(top - canvas.px(2), top, (206, 122, 84), (150, 78, 54)),
            "chimney",
        )


def mansard(canvas: Canvas, rect: Rect, bays: list[int], curtains: list[bool]) -> None:
    """Draw a steep slate roof with a dormer above each bay; `bays` are the dormers' left edges."""
    left, top, right, bottom = rect
    line = canvas.line
    course = max(2, round(0.9 * canvas.unit))
    canvas.fill(rect, slates((66, 74, 92), left, bottom, course, 1), "slate", tapered(rect, 0.86))
    cap = (left + round((right - left) * 0.07), top - line, right - round((right - left) * 0.07), top)
    canvas.fill(cap, LEAD, "slate")
    width, height = canvas.px(5), round((bottom - top) * 0.66)
    width += (width + int(right - left)) % 2
    for x, curtain in zip(bays, curtains, strict=True):
        y = int(bottom) - height - line
        canvas.fill((x - line, y, x + width + line, bottom), STONE, "trim")
        hood = (x - 2 * line, y - 2 * line, x + width + 2 * line, y)
        canvas.fill(hood, (244, 238, 226), "trim", tapered(hood, 0.0))
        window(canvas, (x, y, x + width, bottom - line), "casement", curtain)


def tiled_slope(canvas: Canvas, rect: Rect) -> None:
    """Draw a roof of clay tiles that slopes towards the street, with a gutter."""
    left, top, right, bottom = rect
    line = canvas.line
    course = max(2, round(1.0 * canvas.unit))
    canvas.fill(rect, pantiles((206, 110, 70), (left + right) / 2, bottom, course), "tile", tapered(rect, 0.92))
    ridge = (left + (right - left) * 0.04, top - line / 2, right - (right - left) * 0.04, top + line / 2)
    canvas.fill(ridge, (158, 84, 58))
    canvas.fill((left - line, bottom - line, right + line, bottom), LEAD, "slate")


def slate_slope(canvas: Canvas, rect: Rect) -> None:
    """Draw a roof of slates that slopes towards the street, with a gutter."""
    left, _, right, bottom = rect
    course = max(2, round(0.9 * canvas.unit))
    canvas.fill(rect, slates((78, 84, 98), left, bottom, course, 1), "slate", tapered(rect, 0.92))
    canvas.fill((left - canvas.line, bottom - canvas.line, right + canvas.line, bottom), LEAD, "slate")


def stepped_gable(canvas: Canvas, rect: Rect, wall: Paint, label: str) -> None:
    """Draw a gable in steps, each under a coping stone."""
    left, top, right, bottom = rect
    line = canvas.line
    steps = 4
    run = max(1, round((right - left) * 0.09))
    rise = max(1, round((bottom - top) / steps))
    for i in range(steps):
        y1 = int(bottom) - i * rise
        x0, x1 = int(left) + i * run, int(right) - i * run
        canvas.fill((x0, y1 - rise, x1, y1), wall, label)
        treads = ((x0, x0 + run), (x1 - run, x1)) if i < steps - 1 else ((x0, x1),)
        for start, end in treads:
            canvas.fill((start, y1 - rise - line, end, y1 - rise), STONE, "trim")


def cornice(canvas: Canvas, left: int, right: int, y: int) -> None:
    """Draw a projecting cornice on brackets; its lower edge is at y, and its shadow below."""
    line = canvas.line
    middle = (left + right) / 2
    canvas.shadow((left, y, right, y + 4 * canvas.unit), 0.5)
    canvas.fill((left, y - 2 * line, right, y), (172, 162, 146), "cornice")
    canvas.fill(
        (left, y - 2 * line, right, y),
        (238, 230, 214),
        shape=lambda x, d: (abs(x - middle) / line + 0.5) // 1 % 2 + 0 * d == 0,
    )
    canvas.fill((left - line, y - 3 * line, right + line, y - 2 * line), (246, 240, 226), "cornice")


def string_course(canvas: Canvas, left: int, right: int, y: int) -> None:
    """Draw a band of stone between two storeys."""
    canvas.shadow((left, y, right, y + 1.5 * canvas.unit), 0.35)
    canvas.fill((left, y - canvas.line, right, y), STONE, "cornice")
