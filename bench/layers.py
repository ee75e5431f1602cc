"""`python -m bench.layers --recordings FOLDER`: a search over the layers of VGG16, and Brain-Score's loop over them.

Brain-Score's loop is measured on three layers and one of the ten folds of each, and multiplied: its PLS reads all
activations in every step, so its time grows with the number of features. Ours is measured whole.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from brainscore_submission.words import size_in_words

from .processes import Workshop, errors_in_a_line, in_words, machine
from .report import DASH, markdown, seconds

LAYERS = ["features.23", "features.30", "pre_logits.fc1"]
N_FOLDS = 10


@errors_in_a_line
def main(arguments: list[str] | None = None) -> int:
    """Measure both and print the table."""
    made = argparse.ArgumentParser(prog="python -m bench.layers", description=__doc__)
    made.add_argument("--recordings", type=Path, required=True, help="folder of recordings with one area")
    made.add_argument("--network", default="vgg16", help="timm's name; default vgg16")
    made.add_argument("--layers", nargs="+", default=LAYERS, help="that Brain-Score is measured on")
    made.add_argument("--memory", default="1.5GB", help="of ours, for the recording")
    made.add_argument("--disk", default="40GB", help="of ours")
    made.add_argument("--work", type=Path, help="folder for temporary files; default the system's")
    options = made.parse_args(arguments)
    of = {"recordings": str(options.recordings.resolve()), "network": options.network}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.work) as folder:
        workshop = Workshop(Path(folder), machine()["cores"], "auto")
        ours = workshop.run("layers.our_search", "ours", **of, memory=options.memory, disk=options.disk)
        loop = [workshop.run("layers.brainscore_layer", layer, **of, layer=layer) for layer in options.layers]
    print(render(ours, loop))
    return 0


def our_search(inputs: None, scratch: Path, recordings: str, network: str, memory: str, disk: str) -> dict:
    """A job: the command, every layer and every fold; its own imports count."""
    from brainscore_submission.cli import app

    words = ["search", "--model", f"timm:{network}", "--weights", "untrained", "--exact", "--recordings", recordings]
    started = time.perf_counter()
    app([*words, "--memory", memory, "--disk", disk, "--results", str(scratch)], standalone_mode=False)
    took = time.perf_counter() - started
    table = json.loads(next(scratch.rglob("table.json")).read_text())
    return {"seconds": took, "n_features": {row["layer"]: row["n_features"] for row in table["layers"]}}


def brainscore_layer(inputs: None, scratch: Path, recordings: str, network: str, layer: str) -> dict:
    """A job: one layer by Brain-Score's own wrapper and metric; one fold."""
    from brainscore_vision import load_metric
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper

    from brainscore_submission.models.opening import open_model
    from brainscore_submission.recordings.benchmark import recordings_suite
    from brainscore_submission.recordings.reading import read_recordings

    model = open_model(f"timm:{network}", weights="untrained", areas=())
    (build,) = recordings_suite(read_recordings(recordings)).loaders.values()
    target = build()._assembly
    load = model.activations_model().load_batch
    wrapper = PytorchWrapper(model.network, preprocessing=load, identifier=f"bench-{network}", batch_size=8)
    started = time.perf_counter()
    source = wrapper(target.stimulus_set, layers=[layer])
    recorded = time.perf_counter()
    load_metric("pls", crossvalidation_kwargs={"splits": 1, "stratification_coord": None})(source, target)
    took = {"recording": recorded - started, "fold": time.perf_counter() - recorded}
    return {"layer": layer, "n_features": source.sizes["neuroid"], **took}


def render(ours: dict, loop: list[dict]) -> str:
    """Both as Markdown; `loop` is what each measured layer of Brain-Score's took."""
    n_layers, n_features = len(ours["n_features"]), sum(ours["n_features"].values())
    per_feature = sum(row["fold"] for row in loop) / sum(row["n_features"] for row in loop)
    recording = sum(row["recording"] for row in loop) / len(loop)
    total = n_layers * recording + N_FOLDS * per_feature * n_features
    rows = [
        ["Brain-Score", row["layer"], f"{row['n_features']:,}", seconds(row["recording"]), seconds(row["fold"]), DASH,
         size_in_words(row["peak_bytes"])]
        for row in loop
    ]  # fmt: skip
    everything = [f"{n_layers} layers", f"{n_features:,}", "", ""]
    rows.append(["Brain-Score", *everything, f"{seconds(total)}, multiplied", DASH])
    rows.append(["ours", *everything, f"{seconds(ours['seconds'])}, measured", size_in_words(ours["peak_bytes"])])
    head = ["", "layer", "features", "recording", "one fold", "all layers, ten folds", "memory"]
    note = (
        f"Ratio {total / ours['seconds']:.0f}. Multiplied: recording once for each layer, ten folds at the measured "
        "time for each feature. Brain-Score's memory grows with the features: the largest layers fit no small machine."
    )
    return "\n\n".join([in_words(machine()), markdown(head, rows), note])


if __name__ == "__main__":
    sys.exit(main())
