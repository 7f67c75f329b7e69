"""House with its style, storeys and bays, and everything on its facade."""

from dataclasses import dataclass

from townhouses import roofs
from townhouses.canvas import Canvas, Paint, Rect
from townhouses.chance import Chance
from townhouses.classes import Colour
from townhouses.materials import ashlar, brick, stucco
from townhouses.openings import architrave, balcony, door, flower_box, lintel, shutters, sill, window
from townhouses.shops import AWNINGS, SHOPS, shop

BRICKS: dict[str, tuple[Colour, Colour]] = {
    "brick_red": ((172, 78, 58), (212, 178, 156)),
    "brick_brown": ((140, 102, 70), (196, 174, 146)),
}
PLASTERS: dict[str, Colour] = {
    "stucco_cream": (240, 226, 192),
    "stucco_rose": (232, 176, 162),
    "stucco_blue": (164, 200, 204),
    "stucco_ochre": (228, 184, 104),
}


@dataclass(frozen=True)
class Style:
    """Features that go together. Tuples are alternatives, `heights` of storeys in 64ths of the picture.

    The numbers are probabilities.
    """

    walls: tuple[str, ...]
    windows: tuple[str, ...]
    roofs: tuple[str, ...]
    storeys: tuple[int, ...]
    heights: tuple[float, ...]
    surround: str
    arched: float = 0.0
    balcony: float = 0.0
    shutters: float = 0.0
    flowers: float = 0.0
    shop: float = 0.0


STYLES: dict[str, Style] = {
    "terrace": Style(
        ("brick_red", "brick_brown"), ("sash",), ("parapet", "slate_slope"), (2, 2, 3), (12.0, 11.0, 10.0), "lintel",
        arched=0.3, balcony=0.6, flowers=0.15, shop=0.25,
    ),
    "boulevard": Style(
        ("stone", "stucco_cream"), ("casement",), ("mansard",), (2, 2, 3), (12.5, 11.0, 10.5), "architrave",
        arched=0.25, balcony=0.9, shop=0.6,
    ),
    "canal": Style(
        ("brick_red", "brick_brown", "stucco_ochre"), ("casement", "sash"), ("gable",), (2, 2, 3), (12.0, 11.0, 10.0),
        "lintel", arched=0.2, shutters=0.35, flowers=0.3, shop=0.35,
    ),
    "painted": Style(
        ("stucco_rose", "stucco_blue", "stucco_ochre", "stucco_cream"), ("sash", "casement"),
        ("tiled_slope", "parapet"), (2, 2, 3), (12.0, 11.0, 10.5), "architrave",
        arched=0.35, balcony=0.3, shutters=0.5, flowers=0.5, shop=0.4,
    ),
}  # fmt: skip


def house(canvas: Canvas, left: int, right: int, ground: int, chance: Chance, avoid: str) -> str:
    """Draw a house between two edges, standing on the ground.

    Args:
        canvas: the canvas to draw on.
        left: left edge of the house.
        right: right edge of the house.
        ground: upper edge of the pavement.
        chance: source of random choices.
        avoid: wall of the previous house, since neighbours differ.

    Returns:
        The wall of this house.
    """
    style = STYLES[chance.pick(tuple(STYLES))]
    wall = chance.pick([name for name in style.walls if name != avoid] or list(style.walls))
    storeys = chance.pick(style.storeys)
    tall, roof = chance.between(0.94, 1.04), chance.pick(style.roofs)
    edges = [ground, ground - canvas.px(13 * tall)]
    for storey in range(storeys):
        edges.append(edges[-1] - canvas.px(style.heights[storey] * tall))
    top = edges[-1]
    paint = wall_paint(canvas, wall, left, top, ground)
    bays = 3 if right - left > 22 * canvas.unit and chance.yes(0.75) else 2
    wide = (right - left) / bays > 9.4 * canvas.unit
    centres = _bay_lefts(canvas, left, right, bays, 6.0 if wide else 5.0)
    dormers = _bay_lefts(canvas, left, right, bays, 5.0)
    at_home = [[chance.yes(0.55) for _ in range(bays)] for _ in range(storeys + 1)]
    _roof(canvas, (left, top, right, ground), roof, paint, wall, dormers, at_home[storeys], chance)
    canvas.fill((left, top, right, ground), paint, wall)
    if roof in ("parapet", "mansard"):
        roofs.cornice(canvas, left, right, top + 3 * canvas.line)
    elif roof != "gable":
        canvas.shadow((left, top, right, top + 4 * canvas.unit), 0.5)
    _storeys(canvas, (left, right), edges, style, chance, centres, at_home)
    _ground_floor(canvas, (left, edges[1], right, ground), style, chance, centres, at_home[0])
    pipe = max(1, canvas.line)
    canvas.shade((right - pipe, top, right, ground), 0.72)
    canvas.shade((left, top, left + pipe, ground), 0.72)
    return wall


def wall_paint(canvas: Canvas, wall: str, left: int, top: int, ground: int) -> Paint:
    """Return the paint of a wall that begins at `left` and stands on `ground`."""
    course = course_height(canvas)
    if wall in BRICKS:
        return brick(*BRICKS[wall], left, ground, course, 1)
    if wall in PLASTERS:
        return stucco(PLASTERS[wall], top, ground)
    return ashlar((212, 202, 180), left, ground, 2 * course, 4 * course, 1)


def course_height(canvas: Canvas) -> int:
    """Return the height in pixels of a course of bricks; houses are whole bricks wide."""
    return max(2, round(0.75 * canvas.unit))


def _bay_lefts(canvas: Canvas, left: int, right: int, bays: int, units: float) -> list[int]:
    """Return the left edges of one opening in each bay, mirror-symmetric about the house's middle."""
    width = opening_width(canvas, left, right, units)
    lefts = [round(left + (right - left) * (i + 0.5) / bays - width / 2) for i in range(bays)]
    for i in range(bays // 2):
        lefts[bays - 1 - i] = left + right - lefts[i] - width
    return lefts


def opening_width(canvas: Canvas, left: int, right: int, units: float) -> int:
    """Return a width in whole pixels that can be centred in the house."""
    width = canvas.px(units)
    return width + (right - left - width) % 2


def _roof(
    canvas: Canvas,
    body: Rect,
    roof: str,
    paint: Paint,
    wall: str,
    dormers: list[int],
    at_home: list[bool],
    chance: Chance,
) -> None:
    left, top, right, _ = (int(edge) for edge in body)
    height = canvas.px({"mansard": 9.5, "gable": 11.0, "parapet": 3.0}.get(roof, 7.0))
    if roof != "gable":
        width, side = canvas.px(4), chance.yes(0.5)
        for place in (0.16, 0.84) if chance.yes(0.4) else ((0.2,) if side else (0.8,)):
            x = round(left + (right - left) * place - width / 2)
            roofs.chimney(canvas, x, x + width, top - height - canvas.px(2), top)
    rect = (left, top - height, right, top)
    if roof == "mansard":
        roofs.mansard(canvas, rect, dormers, at_home)
    elif roof == "tiled_slope":
        roofs.tiled_slope(canvas, rect)
    elif roof == "slate_slope":
        roofs.slate_slope(canvas, rect)
    elif roof == "gable":
        roofs.stepped_gable(canvas, rect, paint, wall)
        width = opening_width(canvas, left, right, 5)
        x = (left + right - width) // 2
        attic = (x, top - canvas.px(6), x + width, top - canvas.px(0.5))
        window(canvas, attic, "casement", at_home[0], width / 2)
        sill(canvas, x, x + width, attic[3])
    else:
        canvas.fill(rect, paint, wall)
        canvas.fill((left, rect[1] - canvas.line, right, rect[1]), (224, 214, 196), "trim")


def _storeys(
    canvas: Canvas,
    sides: tuple[int, int],
    edges: list[int],
    style: Style,
    chance: Chance,
    lefts: list[int],
    at_home: list[list[bool]],
) -> None:
    left, right = sides
    kind, arch = chance.pick(style.windows), chance.yes(style.arched)
    rail_on = 1 if chance.yes(style.balcony) else 0
    shutter = chance.pick(("shutter_green", "shutter_blue")) if chance.yes(style.shutters) else None
    boxes = chance.yes(style.flowers)
    width = right + left - 2 * lefts[0] if len(lefts) == 1 else right - lefts[-1] - (lefts[0] - left)
    gap = lefts[1] - lefts[0] - width
    for storey in range(1, len(edges) - 1):
        floor, ceiling = edges[storey], edges[storey + 1]
        top = ceiling + canvas.px(2.4)
        railed = storey == rail_on
        bottom = floor - canvas.line if railed else floor - canvas.px(1.7)
        rise = width / 2 if arch and storey == 1 else 0.0
        for x, home in zip(lefts, at_home[storey], strict=True):
            rect = (x, top, x + width, bottom)
            if shutter and gap > 4 * canvas.unit and not rise:
                shutters(canvas, rect, shutter, min(canvas.px(2), gap // 2 - 1))
            elif style.surround == "architrave":
                architrave(canvas, rect, rise)
            elif not rise:
                lintel(canvas, x, x + width, top)
            window(canvas, rect, kind, home, rise)
            if not railed:
                sill(canvas, x, x + width, bottom)
                if boxes and storey > 1:
                    flower_box(canvas, x, x + width, bottom)
        if storey == 1:
            roofs.string_course(canvas, left, right, floor + canvas.line)
        if railed:
            inset = canvas.px(2)
            balcony(canvas, left + inset, right - inset, floor, canvas.px(4))


def _ground_floor(
    canvas: Canvas, rect: Rect, style: Style, chance: Chance, lefts: list[int], at_home: list[bool]
) -> None:
    left, top, right, ground = (int(edge) for edge in rect)
    kind, label = chance.pick(style.windows), chance.pick(("door_red", "door_blue", "door_green"))
    arch, sign, cloth = chance.yes(0.5), chance.pick(tuple(SHOPS)), chance.pick(tuple(AWNINGS))
    has_shop, shaded = chance.yes(style.shop), chance.yes(0.7)
    where = int(chance.between(0, len(lefts)))
    if has_shop:
        inset = canvas.line
        shop(canvas, (left + inset, top + canvas.line, right - inset, ground), sign, cloth if shaded else None)
        return
    width = right - lefts[-1] - (lefts[0] - left)
    for i, x in enumerate(lefts):
        if i == where:
            door(canvas, (x, top + canvas.px(2.6), x + width, ground), label, arch)
            continue
        opening = (x, top + canvas.px(3.4), x + width, ground - canvas.px(3.4))
        (architrave if style.surround == "architrave" else _beam)(canvas, opening)
        window(canvas, opening, kind, at_home[i])
        sill(canvas, x, x + width, opening[3])


def _beam(canvas: Canvas, rect: Rect) -> None:
    lintel(canvas, rect[0], rect[2], rect[1])
