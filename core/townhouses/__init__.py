"""Townhouses, a data set that is drawn: pairs of label map and photograph, the same for the same seed.

Streets of facades with brick, glass, railings and shops, by day and by night in exactly the same geometry. A label map
determines its photograph up to a little noise: walls differ by material, windows by kind and by whether somebody is at
home, textures start at visible edges, and everything is symmetric enough to be mirrored. The finest features (glazing
bars, railings, brick joints) are one or two pixels wide at every size.
"""

from townhouses.classes import CLASSES, IDS, colour_map
from townhouses.scenes import LAYOUTS, Scene, scene, write

__all__ = ["CLASSES", "IDS", "LAYOUTS", "Scene", "colour_map", "scene", "write"]
