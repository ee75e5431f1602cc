"""Eight shaded objects, seen from many views, with their masks.

An object is a signed distance to its outline, negative inside, in a frame where it fits the unit circle, with
y pointing down. A view places that frame in the picture; shading comes from the distance itself, as of a rounded
solid under a lamp.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """Where an object stands: offsets and radius are fractions of the picture's side, angles in radians.

    `squash` foreshortens the object along its own x axis, `lamp` is the direction that the light comes from, `tone` the
    object's own grey between -1 (black) and 1 (white).
    """

    x: float = 0.0
    y: float = 0.0
    radius: float = 0.25
    rotation: float = 0.0
    squash: float = 1.0
    lamp: float = -2.2
    tone: float = 0.3


def rendered(name, view, size):
    """An object without a background.

    Parameters
    ----------
    name : str, one of `OBJECTS`
    view : View
    size : int, side of the picture in pixels

    Returns
    -------
    shade : ndarray of shape (size, size), in [-1, 1]
    mask : ndarray of shape (size, size), 1 on the object and 0 off it, soft at the edge
    """
    axis = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid((axis - view.x) / view.radius, (axis - view.y) / view.radius)
    cos, sin = np.cos(view.rotation), np.sin(view.rotation)
    distance = OBJECTS[name]((cos * x + sin * y) / view.squash, cos * y - sin * x)
    pixel = 1 / (size * view.radius)
    mask = _soft(-distance / pixel)
    depth = np.clip(-distance / 0.22, 0.0, 1.0)
    height = np.sqrt(np.maximum(1 - (1 - depth) ** 2, 0.0))
    slope_y, slope_x = np.gradient(height, pixel)
    light = 0.22 * (slope_x * np.cos(view.lamp) + slope_y * np.sin(view.lamp))
    return np.clip(view.tone + 0.55 * np.tanh(light) - 0.35 * (1 - height), -1.0, 1.0), mask


def _soft(value):
    return 1 / (1 + np.exp(-np.clip(4 * value, -40, 40)))


def _disc(x, y, radius):
    return np.hypot(x, y) - radius


def _box(x, y, half_width, half_height):
    dx, dy = np.abs(x) - half_width, np.abs(y) - half_height
    return np.hypot(np.maximum(dx, 0.0), np.maximum(dy, 0.0)) + np.minimum(np.maximum(dx, dy), 0.0)


def _bar(x, y, x0, y0, x1, y1, radius):
    """A round-ended bar from (x0, y0) to (x1, y1)."""
    along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
    along = np.clip(along, 0.0, 1.0)
    return np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)) - radius


def _joined(*parts):
    return np.minimum.reduce(parts)


def _cut(whole, hole):
    return np.maximum(whole, -hole)


def _bottle(x, y):
    return _joined(_box(x, y - 0.3, 0.36, 0.62) - 0.05, _box(x, y + 0.7, 0.13, 0.28), _box(x, y + 0.92, 0.2, 0.07))


def _crescent(x, y):
    return _cut(_disc(x, y, 0.95), _disc(x - 0.42, y + 0.1, 0.78))


def _fish(x, y):
    body = np.hypot(x / 0.68, y / 0.4) * 0.45 - 0.45
    tail = np.maximum(np.abs(y) - 0.9 * (x - 0.45), x - 0.98)
    return _cut(_joined(body, tail), _disc(x + 0.38, y + 0.08, 0.08))


def _flower(x, y):
    petals = 0.72 + 0.24 * np.cos(5 * np.arctan2(y, x))
    return _cut(0.8 * (np.hypot(x, y) - petals), _disc(x, y, 0.22))


def _hammer(x, y):
    return _joined(_bar(x, y, 0.0, -0.5, 0.0, 0.88, 0.11), _box(x + 0.05, y + 0.68, 0.62, 0.2))


def _key(x, y):
    bow = _cut(_disc(x, y + 0.58, 0.4), _disc(x, y + 0.58, 0.2))
    bits = _joined(_box(x - 0.2, y - 0.72, 0.2, 0.08), _box(x - 0.16, y - 0.44, 0.16, 0.08))
    return _joined(bow, _bar(x, y, 0.0, -0.2, 0.0, 0.88, 0.1), bits)


def _mug(x, y):
    handle = _cut(_disc(x - 0.5, y, 0.46), _disc(x - 0.5, y, 0.27))
    return _joined(_box(x + 0.18, y, 0.55, 0.72), np.maximum(handle, 0.37 - x))


def _star(x, y):
    fifth = 2 * np.pi / 5
    turns = np.arctan2(x, -y) / fifth  # 0 at the upper tip
    angle = np.abs(turns - np.round(turns)) * fifth  # folded into the half point between a tip and a corner
    along, across = np.hypot(x, y) * np.cos(angle), np.hypot(x, y) * np.sin(angle)
    tip, corner = 1.0, 0.46
    rise, run = corner * np.sin(fifth / 2), tip - corner * np.cos(fifth / 2)
    return ((along - tip) * rise + across * run) / np.hypot(rise, run)


OBJECTS = {
    "bottle": _bottle,
    "crescent": _crescent,
    "fish": _fish,
    "flower": _flower,
    "hammer": _hammer,
    "key": _key,
    "mug": _mug,
    "star": _star,
}
