"""Grey texture patches, drawn from a random stream: ten families, and phase-scrambled noise matched to any patch.

A patch is a float64 array of shape (size, size) with mean 0; `stimuli` sets its contrast and frame.
Only smooth arithmetic on float64 is used, so the 8-bit images come out alike on every machine.
"""

import numpy as np


def texture(family, random, size):
    """One sample of a texture family, with unit variance.

    Parameters
    ----------
    family : str, one of `FAMILIES`
    random : numpy.random.RandomState
    size : int, side in pixels

    Returns
    -------
    ndarray of shape (size, size), mean 0, variance 1
    """
    return standardised(FAMILIES[family](random, size))


def scrambled(patch, random):
    """Noise with the amplitude spectrum of `patch` and random phases: equal energies, no structure.

    Parameters
    ----------
    patch : ndarray of shape (size, size)
    random : numpy.random.RandomState

    Returns
    -------
    ndarray of shape (size, size), mean 0, variance 1
    """
    phases = np.angle(np.fft.fft2(random.standard_normal(patch.shape)))  # phases of a real image: conjugate pairs
    return standardised(np.fft.ifft2(np.abs(np.fft.fft2(patch)) * np.exp(1j * phases)).real)


def standardised(patch):
    """The patch with mean 0 and variance 1."""
    patch = patch - patch.mean()
    return patch / patch.std()


def coloured_noise(random, size, exponent=1.0):
    """Gaussian noise whose amplitude falls as frequency to the power of minus `exponent`."""
    frequency = _frequencies(size)
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(random.standard_normal((size, size))) * frequency**-exponent
    spectrum[0, 0] = 0.0
    return standardised(np.fft.ifft2(spectrum).real)


def _band_noise(random, size, cycles, octaves=0.35):
    """Gaussian noise around `cycles` per image, of all orientations."""
    distance = np.log2(np.maximum(_frequencies(size), 0.5) / cycles) / octaves
    spectrum = np.fft.fft2(random.standard_normal((size, size))) * np.exp(-0.5 * distance**2)
    return standardised(np.fft.ifft2(spectrum).real)


def _frequencies(size):
    cycles = np.fft.fftfreq(size, 1 / size)
    return np.hypot(cycles[:, None], cycles[None, :])


def _grid(size):
    """Pixel centres in [0, 1], as (x, y)."""
    axis = (np.arange(size) + 0.5) / size
    return np.meshgrid(axis, axis)


def _step(value, softness):
    """A smooth step from 0 to 1 around 0."""
    return 1 / (1 + np.exp(-np.clip(value / softness, -40, 40)))


def _nearest(random, size, count):
    """Distances to the nearest and second nearest of jittered grid points, and the nearest one's index."""
    side = round(count**0.5)
    cells = np.arange(-1, side + 1)
    points = np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 2) + random.uniform(0.05, 0.95, ((side + 2) ** 2, 2))
    x, y = _grid(size)
    first, second = np.full((2, size, size), np.inf)
    index = np.zeros((size, size), dtype=int)
    for i, (x0, y0) in enumerate(points):
        distance = np.hypot(x * side - x0, y * side - y0)
        index[distance < first] = i
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    return first, second, index


def _grain(random, size):
    """Wood: stripes bent by slow noise, with an orientation of the sample."""
    x, y = _grid(size)
    angle = random.uniform(-0.3, 0.3)
    along = x * np.cos(angle) + y * np.sin(angle)
    return np.sin(2 * np.pi * (11 * along + 0.9 * coloured_noise(random, size, 1.8))) ** 3


def _spots(random, size):
    """Dark discs with bright rims."""
    first, _, _ = _nearest(random, size, 81)
    return _step(first - 0.34, 0.03) - 1.6 * _step(first - 0.42, 0.03)


def _cracks(random, size):
    """Thin dark lines between cells: dried mud."""
    first, second, _ = _nearest(random, size, 49)
    return _step(second - first - 0.12, 0.03) + 0.1 * coloured_noise(random, size, 0.8)


def _pebbles(random, size):
    """Cells shaded as domes, each of its own grey."""
    first, second, index = _nearest(random, size, 100)
    tone = random.uniform(-0.5, 0.5, 200)[index]
    return np.sqrt(np.maximum(second - first, 0.0)) + tone


def _bricks(random, size):
    """Rows of bricks, each row shifted, with bright joints."""
    x, y = _grid(size)
    bend = 0.008 * coloured_noise(random, size, 1.8)
    row = 12 * (y + bend) + random.uniform()
    column = 5 * (x + bend) + 0.5 * np.floor(row) + random.uniform()
    joint = np.minimum(np.abs(row - np.round(row)) / 12, np.abs(column - np.round(column)) / 5)
    return -_step(joint - 0.012, 0.002) + 0.15 * coloured_noise(random, size, 0.8)


def _weave(random, size):
    """Horizontal and vertical threads that pass over each other."""
    x, y = _grid(size)
    bend = 0.006 * coloured_noise(random, size, 1.8)
    u, v = 14 * (x + bend) + random.uniform(), 14 * (y + bend) + random.uniform()
    over = _step(np.sin(np.pi * u) * np.sin(np.pi * v), 0.08)
    return over * np.abs(np.sin(np.pi * u)) + (1 - over) * np.abs(np.sin(np.pi * v)) * 0.7


def _reptile(random, size):
    """Winding light and dark bands of one width."""
    return np.tanh(3 * _band_noise(random, size, 13))


def _marble(random, size):
    """Bright veins along the zero lines of slow noise."""
    return -(np.abs(coloured_noise(random, size, 1.5)) ** 0.4) + 0.3 * np.abs(coloured_noise(random, size, 1.3))


def _straw(random, size):
    """Straight bright strokes that cross, around one direction."""
    return _strokes(random, size, count=140, length=0.14, width=0.006, spread=0.5, centre=random.uniform(0.6, 1.0))


def _crosses(random, size):
    """Small plus signs of random rotation."""
    return _strokes(random, size, count=70, length=0.035, width=0.007, spread=np.pi, centre=0.0, arms=2)


def _strokes(random, size, count, length, width, spread, centre, arms=1):
    """Bright strokes at random places, `arms` of them crossing at each; lengths and widths are halves, in sides."""
    canvas = np.zeros((size, size))
    reach = int(np.ceil((length + 3 * width) * size))
    window = np.arange(-reach, reach + 1)
    for _ in range(count):
        x0, y0 = random.uniform(0, size, 2)
        angle, tone = centre + random.uniform(-spread, spread), random.uniform(0.5, 1.0)
        columns, rows = window + int(x0), window + int(y0)
        dx, dy = np.meshgrid((columns + 0.5 - x0) / size, (rows + 0.5 - y0) / size)
        here = np.ix_(rows % size, columns % size)  # strokes go on at the opposite edge
        for arm in range(arms):
            turned = angle + arm * np.pi / 2
            along = dx * np.cos(turned) + dy * np.sin(turned)
            across = dy * np.cos(turned) - dx * np.sin(turned)
            distance = np.hypot(np.maximum(np.abs(along) - length, 0.0), across)
            canvas[here] = np.maximum(canvas[here], tone * _step(width - distance, 0.0015))
    return canvas


FAMILIES = {
    "grain": _grain,
    "spots": _spots,
    "cracks": _cracks,
    "pebbles": _pebbles,
    "bricks": _bricks,
    "weave": _weave,
    "reptile": _reptile,
    "marble": _marble,
    "straw": _straw,
    "crosses": _crosses,
}
