"""Townhouses: a data set that draws itself, the same for the same seed, in pairs of label map and photograph.

Streets of facades with brick, glass, railings and shops, by day and by night in exactly the same geometry. A label map
says nearly all there is to know of its photograph: walls differ by material, windows by kind and by whether somebody is
at home; textures hang on edges one can see, and all is symmetric enough to be mirrored. What remains is a little noise.
The finest features (glazing bars, railings, brick joints) are one or two pixels wide at every size.
"""

from townhouses.classes import CLASSES, IDS, colour_map
from townhouses.scenes import LAYOUTS, Scene, scene, write

__all__ = ["CLASSES", "IDS", "LAYOUTS", "Scene", "colour_map", "scene", "write"]
