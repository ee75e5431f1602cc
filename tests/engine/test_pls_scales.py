"""PLS where scales differ much: scikit-learn's number to 1e-6, or a note that says it cannot be promised."""

import numpy as np
import pytest
import scipy.stats
from sklearn.cross_decomposition import PLSRegression

from brainscore_submission.engine.gram import gram
from brainscore_submission.engine.pls import cross_validate

N_STIMULI, N_FEATURES, N_TARGETS = 150, 600, 12
TRAIN, TEST = np.split(np.random.default_rng(5).permutation(N_STIMULI), [135])

# Upstream: what the judges say about inputs that are odd on purpose.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Maximum number of iterations reached"),
    pytest.mark.filterwarnings("ignore:An input array is nearly constant"),
]


def data(seed=0):
    """Features and targets of 30 common dimensions, smaller and smaller, and noise of their own."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(N_STIMULI, 30)) * np.arange(1, 31) ** -0.7
    features = latent @ rng.normal(size=(30, N_FEATURES)) + 0.3 * rng.normal(size=(N_STIMULI, N_FEATURES))
    targets = latent @ rng.normal(size=(30, N_TARGETS)) + rng.normal(size=(N_STIMULI, N_TARGETS))
    return features, targets


def scaled(values, where, factor):
    values = values.copy()
    values[where] *= factor
    return values


def with_common(features, size):
    rng = np.random.default_rng(9)
    return features + size * rng.normal(size=(N_STIMULI, 1)) * rng.normal(size=(1, N_FEATURES))


def nearly_of_rank(features, rank, noise):
    rng = np.random.default_rng(9)
    small = features @ rng.normal(size=(N_FEATURES, rank)) / 20 @ rng.normal(size=(rank, N_FEATURES))
    return small + noise * rng.normal(size=small.shape)


def difference(features, targets):
    """Largest difference of a neuroid's r from scikit-learn's, and what was noted."""
    ours = cross_validate(gram(features), targets, [(TRAIN, TEST)])
    judge = PLSRegression(25, scale=False).fit(features[TRAIN], targets[TRAIN])
    pairs = zip(judge.predict(features[TEST]).T, targets[TEST].T, strict=True)
    theirs = np.array([scipy.stats.pearsonr(*pair).statistic for pair in pairs])
    return np.abs(ours.r[0] - theirs).max(), ours.notes


EXACT = {
    "as it comes": lambda x, y: (x, y),
    "target offset 1e8 x std": lambda x, y: (x, y + 1e8 * y.std()),
    "target offset 1e10 x std": lambda x, y: (x, y + 1e10 * y.std()),
    "target offset 1e12 x std": lambda x, y: (x, y + 1e12 * y.std()),
    "one target x 1e8": lambda x, y: (x, scaled(y, np.s_[:, 4], 1e8)),
    "feature offset 1e3": lambda x, y: (x + 1e3, y),
    "all features x 1e-8": lambda x, y: (x * 1e-8, y),
}
TOO_COARSE = {
    "one channel x 1e5": (lambda x, y: (scaled(x, np.s_[:, 3], 1e5), y), "too coarsely"),
    "one channel x 1e6": (lambda x, y: (scaled(x, np.s_[:, 3], 1e6), y), "too coarsely"),
    "a common component x 1e4": (lambda x, y: (with_common(x, 1e4), y), "too coarsely"),
    "one stimulus x 1e5": (lambda x, y: (scaled(x, 7, 1e5), y), "too coarsely"),
    "one stimulus x 1e8": (lambda x, y: (scaled(x, 7, 1e8), y), "rank 1 as far as inner products tell"),
    "rank 10 and noise of 1e-5": (lambda x, y: (nearly_of_rank(x, 10, 1e-5), y), "no more than rounding errors"),
    "target std 1e-15": (lambda x, y: (x, y * 1e-15), "in other units"),
}


@pytest.mark.parametrize("case", EXACT)
def test_scikit_learns_number_and_no_note(case):
    moved, notes = difference(*EXACT[case](*data()))
    assert moved < 1e-6 and not notes


@pytest.mark.parametrize("case", TOO_COARSE)
def test_what_cannot_be_promised_is_said(case):
    change, said = TOO_COARSE[case]
    moved, notes = difference(*change(*data()))
    assert moved > 1e-7  # else there would be nothing to say
    assert len(notes) == 1 and said in notes[0]


def test_no_scale_of_a_channel_moves_r_in_silence():
    """From no effect to ruin, over many data sets: whatever is off by more than 1e-6 is noted."""
    rng = np.random.default_rng(2)
    silent, noted = [], []
    for seed in range(25):
        features, targets = data(seed)
        features = scaled(features, np.s_[:, rng.integers(N_FEATURES)], 10 ** rng.uniform(2, 7))
        moved, notes = difference(features, targets)
        (noted if notes else silent).append(moved)
    assert max(silent) < 1e-6 and max(noted) > 1e-4
    assert min(noted) > 1e-8  # and no alarm where nothing is wrong
