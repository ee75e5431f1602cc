"""Records and sidecars of five models with simulated neuroids, as `evaluate.py --suite demo` writes them."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from brainscore_submission.scoring.formulas import ceiled
from brainscore_submission.scoring.records import Measure, Predictivity, Record
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.uncertainty import score_interval, weighted_pearson

# How well each model predicts V1, V2, V4, IT (correlation with the signal), and behaviour (r).
MODELS = {
    "crossvit_18_dagger_408_rotation_adv": (991, (0.72, 0.62, 0.78, 0.86), 0.42),
    "crossvit_18_dagger_408_adv": (1084, (0.72, 0.63, 0.76, 0.82), 0.31),
    "crossvit_18_dagger_408_rotation": (1095, (0.66, 0.55, 0.74, 0.80), 0.40),
    "crossvit_18_dagger_408": (1057, (0.70, 0.54, 0.71, 0.72), 0.36),
    "timm:resnet18": (None, (0.80, 0.66, 0.60, 0.52), 0.22),
}
NEUROIDS = {"V1": 80, "V2": 80, "V4": 60, "IT": 100}
LAYERS = {
    "V1": "blocks.1.blocks.1.0.norm1",
    "V2": "blocks.1.blocks.1.0.norm1",
    "V4": "blocks.1.blocks.1.0.norm1",
    "IT": "blocks.1.blocks.1.4.norm2",
    "behavior": "blocks.2.revert_projs.1.2",
}
ORIGIN = {
    "preprocessing": "crop224",
    "precision": "float32",
    "device": "cpu",
    "visual_degrees": 8.0,
    "layer_map": "paper",
    "seconds": {"recording": 41.2, "scoring": 0.8},
    "versions": {"python": "3.11.7", "brainscore_vision": "2.4.2", "torch": "2.9.0", "numpy": "1.26.4"},
    "created": "2026-11-21T10:00:00+00:00",
}


def write_demo_results(folder, models=MODELS, untrained=False, simulated=True) -> Path:
    """Write the records of `models` on a simulated suite of five areas under `folder`."""
    for model, (competition_id, strengths, behavior) in models.items():
        weights = {"source": "untrained" if untrained else "s3", "sha1": None, "sha256": "ab" * 32, "note": None}
        origin = ORIGIN | {
            "model": model,
            "card": model,
            "competition_id": competition_id,
            "suite": "demo",
            "marks": ("UNTRAINED",) * untrained + ("SIMULATED",) * simulated,
            "command": f"python evaluate.py --model {competition_id or model} --suite demo",
            "weights": weights | {"untrained": untrained, "seed": 0 if untrained else None},
            "fingerprint": hashlib.sha256(model.encode()).hexdigest(),
        }
        for area, strength in zip(NEUROIDS, strengths, strict=True):
            record, sidecar = neural_record(area, strength, origin)
            record.write(folder, sidecar)
        behavioral_record(behavior, origin).write(folder)
    return Path(folder)


def neural_record(area, strength, origin):
    """One record and its sidecar; all models see the same neuroids and stimuli."""
    sidecar = simulated_sidecar(area, strength, seed=sum(map(ord, origin["model"])))
    per_split = np.median(sidecar.r, axis=1)
    raw, error, ceiling = float(per_split.mean()), float(per_split.std() / np.sqrt(len(per_split))), 0.8
    score, score_error = ceiled(raw, ceiling, "r^2/c"), 2 * abs(raw) / ceiling * error
    interval, over, _ = score_interval(sidecar, score=score, score_error=score_error, ceiling=ceiling)
    record = Record(
        **origin,
        benchmark=f"demo.{area}-pls",
        area=area,
        layer=LAYERS[area],
        measured=Predictivity(
            score=score,
            score_error=score_error,
            score_2022=score / ceiling,
            score_2022_error=score_error / ceiling,
            interval=interval,
            interval_over=over,
            raw=raw,
            raw_error=error,
            ceiling=ceiling,
            ceiling_error=0.002,
            formula="r^2/c",
            metric="pls",
            engine="gram",
            raw_per_split=tuple(per_split.tolist()),
            n_stimuli=120,
            n_neuroids=NEUROIDS[area],
            n_features=258496,
        ),
    )
    return record, sidecar


def simulated_sidecar(area, strength, seed, n_stimuli=120, n_splits=10):
    world = np.random.default_rng(list(NEUROIDS).index(area))
    latent, loading = world.standard_normal((n_stimuli, 6)), world.standard_normal((6, NEUROIDS[area]))
    signal = latent @ loading / np.linalg.norm(loading, axis=0)
    reliability = world.beta(9, 3, NEUROIDS[area])
    target = reliability * signal + np.sqrt(1 - reliability**2) * world.standard_normal(signal.shape)
    test = np.stack([world.permutation(n_stimuli)[: n_stimuli // 10] for _ in range(n_splits)])
    own = np.random.default_rng(seed)
    guess = strength * signal + np.sqrt(1 - strength**2) * own.standard_normal(signal.shape)
    prediction = guess[test] + 0.1 * own.standard_normal((*test.shape, NEUROIDS[area]))
    weights = np.ones((1, test.shape[1]))
    return Sidecar(
        r=np.concatenate([weighted_pearson(p, target[t], weights) for p, t in zip(prediction, test, strict=True)]),
        neuroid_id=np.array([f"{area}.{i:03}" for i in range(NEUROIDS[area])]),
        stimulus_id=np.array([f"demo.{i:03}" for i in range(n_stimuli)]),
        test_index=test,
        prediction=prediction.astype(np.float32),
        target=target.astype(np.float32),
    )


def behavioral_record(raw, origin):
    score = ceiled(raw, 0.479, "r/sqrt(c)")
    error = 0.01 / np.sqrt(0.479)
    interval, over, _ = score_interval(None, score=score, score_error=error, ceiling=0.479)
    return Record(
        **origin,
        benchmark="demo.behavior-i2n",
        area="behavior",
        layer=LAYERS["behavior"],
        measured=Predictivity(
            score=score,
            score_error=error,
            score_2022=score,
            score_2022_error=error,
            interval=interval,
            interval_over=over,
            raw=raw,
            raw_error=0.01,
            ceiling=0.479,
            ceiling_error=0.003,
            formula="r/sqrt(c)",
            metric="i2n",
            engine="brainscore",
            raw_per_split=(raw - 0.01, raw + 0.01),
            n_stimuli=240,
            n_features=448,
        ),
    )


@pytest.fixture(scope="session")
def demo_results(tmp_path_factory) -> Path:
    """A results folder of five models; read only."""
    return write_demo_results(tmp_path_factory.mktemp("demo") / "results")


@pytest.fixture
def own_results(demo_results, tmp_path) -> Path:
    """A results folder of two models, to be spoiled."""
    for model in ("crossvit_18_dagger_408_adv", "crossvit_18_dagger_408_rotation_adv"):
        shutil.copytree(demo_results / model, tmp_path / "results" / model)
    return tmp_path / "results"


@pytest.fixture
def change():
    """`change(folder, name, **fields)`: write the first record of this name again, as if measured so; its path."""
    return rewrite


def rewrite(folder, name, **changes) -> Path:
    """See `change`; fields of what was measured stand among those of the record."""
    path = sorted(folder.rglob(name))[0]
    record = Record.from_json(path)
    of_body = {field: changes.pop(field) for field in list(changes) if field in Predictivity.model_fields}
    if of_body:
        changes["measured"] = Predictivity(**dict(record.measured) | of_body)
    record = Record(**{name: getattr(record, name) for name in Record.model_fields} | changes)
    path.write_text(record.to_json())
    sidecar = path.with_suffix(".npz")
    if sidecar.is_file():
        Sidecar.load(sidecar).write(sidecar, record.checksum)
    return path


@pytest.fixture
def no_access():
    """`no_access(folder, name, reason)`: as `change`, where nobody was let in."""
    return lambda *where, reason: rewrite(*where, status="no access", reason=reason, measured=None)


@pytest.fixture
def spoil():
    """`spoil(folder, name, **fields)`: write nonsense into the first record of this name; ... takes a field away."""

    def write(folder, name, **changes) -> Path:
        path = sorted(folder.rglob(name))[0]
        fields = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in fields.items() if value is not ...}))
        return path

    return write


@pytest.fixture
def accuracy() -> Record:
    """A record of another kind."""
    model = "crossvit_18_dagger_408_adv"
    origin = {"model": model, "card": model, "suite": "robustness", "benchmark": "clean", "fingerprint": "f"}
    body = Measure(metric="top-1", value=0.625, error=0.01, interval=(0.6, 0.65), interval_over="images", n=1234)
    return Record(**ORIGIN | origin | {"kind": "measure", "measured": body})


@pytest.fixture
def run_command():
    """`run_command(command, *words)`: run a command of `analysis` as a user types it, in this process."""

    def typed(command, *words):
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(command)
        return CliRunner().invoke(app, [*map(str, words)])

    return typed
