"""`python -m bench.gpu --out DIR`: the engine on a GPU, where there is one.

Needs torch, numpy, scipy, timm and this repository, not brainscore_vision. It compares the GPU's numbers with the
CPU's, and its times with what the arithmetic alone would take. Where brainscore_vision is installed too, a whole
evaluation follows, cold and warm (`bench.profile`).
"""

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from brainscore_submission.engine.images import Request, read_stimuli
from brainscore_submission.engine.recorder import PRECISIONS
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.files import require_writable_folder, write_whole
from brainscore_submission.plugin.hooks import layer_outputs, probe
from brainscore_submission.words import size_in_words

from .engine import fastest, gram_and_pls, limits, open_network, peak_of
from .inputs import draw, image_set
from .processes import errors_in_a_line, in_words, machine, tell
from .report import DASH, markdown, seconds
from .sizes import TRUE_METRIC, MetricSize

PROMISED = 1e-6  # largest difference between CPU and GPU, in float64
DEPTHS = {"V1, V2, V4": "V4", "IT": "IT", "behavior": "behavior"}  # in the table -> area


# stimuli x features x neuroids, network, images, batch sizes
PLANS = {
    "true": (TRUE_METRIC, "crossvit", 3200, (64,)),
    "tiny": (MetricSize(80, 600, 5), "tiny", 8, (4,)),
}


@errors_in_a_line
def main(arguments: list[str] | None = None) -> int:
    """Measure, write ``gpu.md`` and ``gpu.json``, and print the table."""
    made = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    made.add_argument("--out", type=Path, required=True, help="folder for gpu.md and gpu.json")
    made.add_argument("--device", default="cuda", help="cuda[:i], or cpu to try the command out")
    made.add_argument("--plan", choices=PLANS, default="true")
    made.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["float32"], help="of the forward pass")
    options = made.parse_args(arguments)
    (size, network, *images), device = PLANS[options.plan], options.device
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no CUDA device here. --device cpu --plan tiny tries the command out.")
    require_writable_folder(options.out, "--out")
    results = {"machine": machine(), "limits": limits(None, Path(), [network], device)}
    tell("Gram and PLS on CPU and GPU")
    results |= compare(size, device)
    tell("recording")
    with tempfile.TemporaryDirectory() as folder:
        model = open_network(network, device)
        results["recording"] = time_recording(model, *images, Path(folder), options.precision)
    report = render(results, size, network)
    write_whole(options.out / "gpu.json", json.dumps(results, indent=1).encode(), "--out")
    if importlib.util.find_spec("brainscore_vision"):
        from . import profile

        size = profile.PLANS["full" if options.plan == "true" else "tiny"].evaluate
        report += "\n## A whole evaluation\n\n" + profile.evaluation(size, network, device) + "\n"
    print(report)
    write_whole(options.out / "gpu.md", report.encode(), "--out")
    return 0


def compare(size: MetricSize, device: str) -> dict[str, dict]:
    """Gram matrix and PLS of the same features on CPU and GPU: what they took, and the largest differences."""
    cpu_gram, cpu, on_cpu = gram_and_pls(size, "cpu")
    gram, pls, on_gpu = gram_and_pls(size, device)
    differences = {
        "Gram matrix, relative to its largest entry": float(np.abs(gram - cpu_gram).max() / np.abs(cpu_gram).max()),
        "a neuroid's r": float(np.nanmax(np.abs(pls.r - cpu.r))),
        "score": abs(on_gpu["score"] - on_cpu["score"]),
    }
    in_float32 = gram_and_pls(size, device, "float32")[2]
    return {"differences": differences, "timed": {"cpu": on_cpu, "float64": on_gpu, "float32": in_float32}}


def time_recording(
    model: Model, n_images: int, batch_sizes: Sequence[int], folder: Path, precisions: Sequence[str]
) -> list[dict]:
    """Images a second for each layer, batch size and precision: the recorder's, and the forward pass's alone."""
    images, rows = image_set(folder, "objects", n_images, 8), []
    draw(images)
    stimuli = tuple(read_stimuli(images.paths))
    for precision, (depth, area), batch_size in product(precisions, DEPTHS.items(), batch_sizes):
        set_up = replace(model, batch_size=batch_size, precision=precision)
        row = {"depth": depth, "area": area, "batch_size": batch_size, "precision": precision}
        rows.append({**row, **_speeds(set_up, model.layers[area], stimuli)})
    return rows


def _speeds(model: Model, layer: str, stimuli: tuple) -> dict[str, float]:
    recorder = model.recorder(None)
    recorder.record([Request(stimuli[: model.batch_size], grams=frozenset({layer}))])  # warms up
    peak = peak_of(model.device)
    recording = recorder.record([Request(stimuli, grams=frozenset({layer}))])
    took = {"gpu_bytes": peak(), "gram_seconds": recording.seconds["gram"]}
    side = model.card.preprocessing.input_px
    pixels = torch.randn(model.batch_size, 3, side, side, device=model.device)
    firings = probe(model.network, pixels[:1], [layer])

    def forward() -> None:
        with PRECISIONS[model.precision](torch.device(model.device).type):
            layer_outputs(model.network, pixels, [layer], firings)

    took["forward_per_s"] = model.batch_size / fastest(forward, model.device)
    return {**took, "images_per_s": recording.image_passes / recording.seconds["forward"]}


def render(results: dict, size: MetricSize, network: str) -> str:
    """Results as Markdown."""
    limits, flops = results["limits"], results["limits"]["forward_flops"][network]
    cpu, float64, float32 = results["timed"].values()
    held = "yes" if max(results["differences"].values()) <= PROMISED else "**NO**"
    equal = [[what, f"{difference:.0e}"] for what, difference in results["differences"].items()]
    equal.append([f"all within {PROMISED:.0e}", held])
    times = {
        "Gram, float64": (float64["gram_flops"] / limits["float64"], float64["gram_seconds"], cpu["gram_seconds"]),
        "Gram, float32": (float32["gram_flops"] / limits["float32"], float32["gram_seconds"]),
        "PLS, 10 folds, float64": (cpu["pls_flops"] / limits["float64"], float64["pls_seconds"], cpu["pls_seconds"]),
    }
    timed = [[what, *map(seconds, took), *[DASH] * (3 - len(took))] for what, took in times.items()]
    recorded = []
    for row in results["recording"]:
        limit = f"{limits['float32'] / flops[row['area']]:.0f}" if row["precision"] == "float32" else DASH
        words = [row["depth"], row["precision"], str(row["batch_size"]), limit, f"{row['forward_per_s']:.0f}"]
        measured = [f"{row['images_per_s']:.0f}", seconds(row["gram_seconds"]), size_in_words(row["gpu_bytes"])]
        recorded.append([*words, *measured])
    head = ["up to the layer of", "precision", "batch", "limit, images/s", "forward pass alone", "recorder, from files"]
    rates = ", ".join(f"{dtype} {limits[dtype] / 1e12:.3g} TFLOP/s" for dtype in ("float32", "float64"))
    parts = [
        "# On a GPU",
        in_words(results["machine"], limits["gpu"] or "no GPU: a trial run on the CPU") + f" Matrix products: {rates}.",
        f"## Gram and PLS at {size}",
        markdown(["CPU and GPU on the same input, float64", "largest difference"], equal),
        markdown(["what", "limit by FLOPs", "GPU", "CPU of this machine"], timed),
        f"Score on the GPU {float64['score']:.6f}, on the CPU {cpu['score']:.6f}; GPU memory at most "
        f"{size_in_words(float64['gpu_bytes'])}. Gram's limit counts one triangle, that of PLS no power iterations.",
        "## Recording",
        markdown([*head, "Gram", "GPU memory"], recorded),
        "Limit: FLOPs of the forward pass up to the layer over the rate of a float32 matrix product, TF32 off. The "
        "recorder reads, decodes and resizes PNG files while the network runs.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
