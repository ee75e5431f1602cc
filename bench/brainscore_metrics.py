"""What replaces Brain-Score's own metric code, beside that code: seconds, ratio, largest difference.

python -m bench.brainscore_metrics                    # small sizes beside Brain-Score, true sizes alone
python -m bench.brainscore_metrics i2n --full         # Brain-Score at true size, too: 8 minutes
python -m bench.brainscore_metrics ridge --train 5000 --features 258496 --targets 300
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("BS_INSTALL_DEPENDENCIES", "no")  # Brain-Score would run pip otherwise

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly, NeuroidAssembly
from brainscore_vision import load_ceiling, load_metric
from brainscore_vision.metrics.regression_correlation.metric import ALPHA_LIST, DualRidgeCVRegression

from brainscore_submission.engine.ridge import TrainTestProducts, predict, ridge_cv
from brainscore_submission.scoring.consistency import ArrayConsistency
from brainscore_submission.scoring.i2n import ArrayI2n

CHUNK = 1024  # features that are read at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"some of: {', '.join(PARTS)}")
    parser.add_argument("--full", action="store_true", help="Brain-Score's own code at true size, too")
    parser.add_argument("--train", type=int, default=1000, help="ridge: training stimuli")
    parser.add_argument("--features", type=int, default=20_000, help="ridge: features")
    parser.add_argument("--targets", type=int, default=100, help="ridge: neuroids")
    options = parser.parse_args()
    for part in options.parts:
        PARTS[part](options)


def i2n(options) -> None:
    for size, beside in (((240, 12, 12), True), ((2160, 24, 18), options.full)):
        trials = behavioural_trials(*size)
        judge = load_metric("i2n")
        what = f"i2n with ceiling, {size[0]} images x {size[1]} objects, {len(trials):,} trials"

        def both(metric, trials=trials):
            score = metric(probabilities(trials), trials)
            ceiling = metric.ceiling(trials, skipna=True)
            return [score.values, score.error.values, *score.raw, ceiling.values, ceiling.error.values, *ceiling.raw]

        compare(what, partial(both, ArrayI2n(judge)), beside and partial(both, judge))


def consistency(options) -> None:
    for size, beside in (((320, 40, 20), True), ((3200, 88, 40), options.full), ((3200, 168, 47), options.full)):
        responses = repeated_responses(*size)
        judge = load_ceiling("internal_consistency")
        what = "internal consistency, {} stimuli x {} neuroids x {} repetitions".format(*size)

        def values(ceiler, responses=responses):
            ceiling = ceiler(responses)
            return [ceiling.values, ceiling.error.values, *ceiling.raw.values.ravel()]

        compare(what, partial(values, ArrayConsistency(judge)), beside and partial(values, judge))


def ridge(options) -> None:
    """Train/test ridge with a chosen penalty from features that wait in a file, as a recording leaves them."""
    n_train, n_test = options.train, 100
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        latent = rng.normal(size=(n_train + n_test, 50)).astype(np.float32)
        chunks = spool(Path(folder) / "features", latent, options.features)
        targets = latent[:n_train] @ rng.normal(size=(50, options.targets))
        targets += 20 * rng.normal(size=targets.shape)

        def ours():
            start = time.perf_counter()
            products = TrainTestProducts(n_train, n_test)
            for chunk in chunks():
                products.add(chunk[:n_train], chunk[n_train:])
            print(f"    products {time.perf_counter() - start:.1f} s")
            train_gram, cross_gram = products.result()
            fit = ridge_cv(train_gram, targets, ALPHA_LIST, overwrite=True)
            print(f"    alpha {fit.alpha:g}, peak memory of this process {peak_gb():.1f} GB")
            return [fit.alpha, *predict(fit, cross_gram).ravel()]

        def brainscore():
            features = np.concatenate([np.array(chunk) for chunk in chunks()], axis=1)
            judge = DualRidgeCVRegression(alphas=ALPHA_LIST)
            judge.fit(features[:n_train], targets)
            return [judge.alpha_, *judge.predict(features[n_train:]).ravel()]

        what = f"ridge CV, {n_train} + {n_test} stimuli x {options.features:,} features x {options.targets} targets"
        small = n_train * options.features <= 10**8
        compare(what, ours, (small or options.full) and brainscore)


PARTS = {"i2n": i2n, "consistency": consistency, "ridge": ridge}


def compare(what: str, ours, brainscore) -> None:
    print(what, flush=True)
    start = time.perf_counter()
    values = np.array(ours(), dtype=float)
    seconds = time.perf_counter() - start
    print(f"    ours {seconds:.2f} s", flush=True)
    if not brainscore:
        return
    start = time.perf_counter()
    judged = np.array(brainscore(), dtype=float)
    theirs = time.perf_counter() - start
    difference = (
        "equal in every bit" if values.tobytes() == judged.tobytes() else f"{np.abs(values - judged).max():.1e}"
    )
    print(f"    Brain-Score {theirs:.2f} s, ratio {theirs / seconds:.0f}, difference: {difference}", flush=True)


def peak_gb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def behavioural_trials(n_images: int, n_objects: int, repeats: int) -> BehavioralAssembly:
    """Each image against each distractor, `repeats` times."""
    rng = np.random.default_rng(0)
    names = np.array([f"object{i}" for i in range(n_objects)])
    image, other = np.divmod(rng.permutation(np.tile(np.arange(n_images * n_objects), repeats)), n_objects)
    truth = image % n_objects
    image, other, truth = (column[truth != other] for column in (image, other, truth))
    hard = rng.uniform(0, 0.6, size=(n_images, n_objects))[image, other]
    choice = np.where(rng.uniform(size=len(image)) < hard, other, truth)
    return BehavioralAssembly(
        names[choice],
        coords={
            "stimulus_id": ("presentation", np.array([f"image{i}" for i in range(n_images)])[image]),
            "truth": ("presentation", names[truth]),
            "sample_obj": ("presentation", names[truth]),
            "dist_obj": ("presentation", names[other]),
        },
        dims=["presentation"],
    )


def probabilities(trials: BehavioralAssembly) -> BehavioralAssembly:
    rng = np.random.default_rng(1)
    images, choices = np.unique(trials["stimulus_id"].values), np.unique(trials["truth"].values)
    p = np.exp(2 * rng.normal(size=(len(images), len(choices))))
    return BehavioralAssembly(
        p / p.sum(axis=1, keepdims=True),
        coords={
            "stimulus_id": ("presentation", images),
            "image_label": ("presentation", ["unknown"] * len(images)),
            "choice": ("choice", choices),
        },
        dims=["presentation", "choice"],
    )


def repeated_responses(n_stimuli: int, n_neuroids: int, n_repetitions: int) -> NeuroidAssembly:
    rng = np.random.default_rng(0)
    stimulus, repetition = np.divmod(rng.permutation(n_stimuli * n_repetitions), n_repetitions)
    responses = rng.normal(size=(n_stimuli, n_neuroids))[stimulus] + rng.normal(size=(len(stimulus), n_neuroids))
    return NeuroidAssembly(
        responses,
        coords={
            "stimulus_id": ("presentation", np.array([f"s{i}" for i in range(n_stimuli)])[stimulus]),
            "object_name": ("presentation", np.array([f"object{i % 8}" for i in range(n_stimuli)])[stimulus]),
            "repetition": ("presentation", repetition),
            "neuroid_id": ("neuroid", np.arange(n_neuroids)),
            "region": ("neuroid", ["IT"] * n_neuroids),
        },
        dims=["presentation", "neuroid"],
    )


def spool(path: Path, latent: np.ndarray, n_features: int):
    """Write float32 features of rank 50 and noise, chunk by chunk, and give a function that reads them again."""
    rng = np.random.default_rng(1)
    n_stimuli = len(latent)
    widths = [min(CHUNK, n_features - start) for start in range(0, n_features, CHUNK)]
    with path.open("wb") as file:
        for width in widths:
            chunk = latent @ rng.normal(size=(latent.shape[1], width)).astype(np.float32)
            chunk += rng.standard_normal(size=chunk.shape, dtype=np.float32)
            file.write(chunk.tobytes())

    def read():
        offset = 0
        for width in widths:
            yield np.fromfile(path, np.float32, n_stimuli * width, offset=offset).reshape(n_stimuli, width)
            offset += 4 * n_stimuli * width

    return read


if __name__ == "__main__":
    main()
