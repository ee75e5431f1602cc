"""`python -m bench.layers --recordings FOLDER`: a search over the layers of VGG16, and Brain-Score's loop over them.

Brain-Score's loop is measured on three layers and one of the ten folds of each, and multiplied: its PLS reads all
activations in every step, so its time grows with the number of features. Ours is measured whole.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .machine import cores, describe, in_words
from .table import gigabytes, markdown, seconds

ROOT = Path(__file__).parent.parent
N_FOLDS = 10


def main(arguments: list[str] | None = None) -> int:
    """Measure both and print the table."""
    options = parser().parse_args(arguments)
    if options.brainscore_layer:
        print(json.dumps(brainscore(options.recordings, options.network, options.brainscore_layer)))
        return 0
    common = ["--recordings", str(options.recordings.resolve())]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.work) as folder:
        search = ["analysis.layer_search", "--model", f"timm:{options.network}", "--weights", "untrained", "--exact"]
        budget = ["--memory", options.memory, "--disk", options.disk, "--results", folder]
        _, ours = _run([*search, *common, *budget], Path(folder))
        table = json.loads(next(Path(folder).rglob("table.json")).read_text())
        measured = []
        for layer in options.layers:
            own = ["bench.layers", "--brainscore-layer", layer, "--network", options.network]
            printed, process = _run([*own, *common], Path(folder))
            measured.append({**json.loads(printed.splitlines()[-1]), **process})
    print(render(table, ours, measured))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m bench.layers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--recordings", type=Path, required=True, help="folder of recordings with one area")
    made.add_argument("--network", default="vgg16", help="timm's name; default vgg16")
    made.add_argument(
        "--layers", nargs="+", default=["features.23", "features.30", "pre_logits.fc1"],
        help="that Brain-Score is measured on",
    )  # fmt: skip
    made.add_argument("--memory", default="1.5GB", help="of ours, for the recording")
    made.add_argument("--disk", default="40GB", help="of ours")
    made.add_argument("--work", type=Path, help="folder for temporary files; default the system's")
    made.add_argument("--brainscore-layer", help=argparse.SUPPRESS)
    return made


def brainscore(recordings: Path, network: str, layer: str) -> dict:
    """One layer by Brain-Score's own wrapper, commitment and metric; one fold."""
    from brainscore_vision import load_metric
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper

    from brainscore_submission.models.opening import open_model
    from brainscore_submission.recordings.benchmark import recordings_suite
    from brainscore_submission.recordings.reading import read_recordings

    model = open_model(f"timm:{network}", weights="untrained", areas=())
    (build,) = recordings_suite(read_recordings(recordings)).loaders.values()
    target = build()._assembly
    wrapper = PytorchWrapper(
        model.network, preprocessing=model.activations_model().load_batch, identifier=f"bench-{network}", batch_size=8
    )
    started = time.perf_counter()
    source = wrapper(target.stimulus_set, layers=[layer])
    recorded = time.perf_counter()
    load_metric("pls", crossvalidation_kwargs={"splits": 1, "stratification_coord": None})(source, target)
    return {
        "layer": layer,
        "n_features": source.sizes["neuroid"],
        "recording": recorded - started,
        "fold": time.perf_counter() - recorded,
    }


def render(table: dict, ours: dict, measured: list[dict]) -> str:
    """Both as Markdown.

    Parameters
    ----------
    table : of the search, as its table.json holds it
    ours : `seconds` and `peak_bytes` of the search
    measured : of each layer of Brain-Score's loop: `layer`, `n_features`, `recording`, `fold`, `peak_bytes`
    """
    features = {row["layer"]: row["n_features"] for row in table["layers"]}
    per_feature = sum(row["fold"] for row in measured) / sum(row["n_features"] for row in measured)
    recording = sum(row["recording"] for row in measured) / len(measured)
    total = len(features) * recording + N_FOLDS * per_feature * sum(features.values())
    rows = [
        ["Brain-Score", row["layer"], f"{row['n_features']:,}", seconds(row["recording"]), seconds(row["fold"]), "–",
         gigabytes(row["peak_bytes"])]
        for row in measured
    ]  # fmt: skip
    everything = [f"{len(features)} layers", f"{sum(features.values()):,}"]
    rows.append(["Brain-Score", *everything, "", "", f"{seconds(total)}, multiplied", "–"])
    rows.append(["ours", *everything, "", "", f"{seconds(ours['seconds'])}, measured", gigabytes(ours["peak_bytes"])])
    head = ["", "layer", "features", "recording", "one fold", "all layers, ten folds", "memory"]
    machine = in_words(describe(), cores(), None)
    return "\n\n".join([machine, markdown(head, rows), f"Ratio {total / ours['seconds']:.0f}. {_NOTE}"])


_NOTE = (
    "Multiplied: recording once for each layer, and ten folds at the measured time for each feature. Memory of "
    "Brain-Score grows with the features as well: the largest layers do not fit a small machine at all."
)


def _run(module_and_arguments: list[str], scratch: Path) -> tuple[str, dict]:
    """Run a module in a process of its own; what it printed, its time, and its own peak memory."""
    homes = ("RESULTCACHING_HOME", "BRAINSCORE_HOME", "BRAINSCORE_SUBMISSION_CACHE")
    environment = {**os.environ, **{name: str(scratch / name.lower()) for name in homes}, "TQDM_DISABLE": "1"}
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *module_and_arguments], cwd=ROOT, env=environment, stdout=out, text=True
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"error: {module_and_arguments[0]} ended with {process.returncode}")
        out.seek(0)
        return out.read(), {"seconds": time.perf_counter() - started, "peak_bytes": usage.ru_maxrss * 1024}


if __name__ == "__main__":
    sys.exit(main())
