"""`python -m bench.gpu --out DIR`: the engine on a GPU, where there is one.

Needs torch, numpy, scipy, timm and this repository, not brainscore_vision. It compares the GPU's numbers with the
CPU's, and its times with what the arithmetic alone would take.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from brainscore_submission.engine.images import Request, read_stimuli
from brainscore_submission.engine.recorder import PRECISIONS
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.files import write_whole
from brainscore_submission.plugin.hooks import layer_outputs, probe
from brainscore_submission.words import size_in_words

from .engine import fastest, gram_and_pls, limits, open_network, peak_of
from .inputs import draw, image_set
from .processes import in_words, machine, tell
from .report import DASH, markdown, seconds
from .sizes import TRUE_METRIC, MetricSize

PROMISED = 1e-6  # largest difference between CPU and GPU, in float64
DEPTHS = {"V1, V2, V4": "V4", "IT": "IT", "behavior": "behavior"}  # in the table -> area


class Plan(NamedTuple):
    """How much is measured: sizes compared and timed, network, images and batch sizes."""

    compared: MetricSize
    timed: MetricSize
    network: str
    images: int
    batch_sizes: tuple[int, ...]


PLANS = {
    "true": Plan(MetricSize(640, 40_000, 50), TRUE_METRIC, "crossvit", 512, (32, 64, 128)),
    "tiny": Plan(MetricSize(60, 500, 4), MetricSize(80, 600, 5), "tiny", 8, (4,)),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, write ``gpu.md`` and ``gpu.json``, and print the table."""
    made = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    made.add_argument("--out", type=Path, required=True, help="folder for gpu.md and gpu.json")
    made.add_argument("--device", default="cuda", help="cuda[:i], or cpu to try the command out")
    made.add_argument("--plan", choices=PLANS, default="true")
    made.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["float32"], help="of the forward pass")
    options = made.parse_args(arguments)
    plan, device = PLANS[options.plan], options.device
    if device.startswith("cuda") and not torch.cuda.is_available():
        print("error: no CUDA device here. --device cpu --plan tiny tries the command out.", file=sys.stderr)
        return 1
    results = {"machine": machine(), "limits": limits(None, Path(), [plan.network], device)}
    tell("CPU and GPU on the same input")
    results["equality"] = compare(plan.compared, device)
    tell("Gram and PLS at true size")
    runs = {"float64": (device, "float64"), "float32": (device, "float32"), "cpu": ("cpu", "float64")}
    results["timed"] = {name: gram_and_pls(plan.timed, *where)[2] for name, where in runs.items()}
    tell("recording")
    with tempfile.TemporaryDirectory() as folder:
        results["recording"] = time_recording(plan, device, Path(folder), options.precision)
    report = render(results, plan)
    write_whole(options.out / "gpu.json", json.dumps(results, indent=1).encode(), "--out")
    write_whole(options.out / "gpu.md", report.encode(), "--out")
    print(report)
    return 0


def compare(size: MetricSize, device: str) -> dict:
    """Gram matrix and PLS of the same features, CPU against GPU, float64 on both: largest differences."""
    (cpu_gram, cpu, on_cpu), (gram, pls, on_device) = (gram_and_pls(size, where) for where in ("cpu", device))
    return {
        "gram": float(np.abs(gram - cpu_gram).max() / np.abs(cpu_gram).max()),
        "r": float(np.nanmax(np.abs(pls.r - cpu.r))),
        "score": abs(on_device["score"] - on_cpu["score"]),
        "iterations_equal": bool((pls.n_iterations == cpu.n_iterations).all()),
    }


def time_recording(plan: Plan, device: str, folder: Path, precisions: list[str]) -> list[dict]:
    """Images a second for each layer, batch size and precision: the recorder's, and the forward pass's alone."""
    images = image_set(folder, "objects", plan.images, 8)
    draw(images)
    stimuli, model = tuple(read_stimuli(images.paths)), open_network(plan.network, device)
    return [
        {"depth": depth, "area": area, "batch_size": batch_size, "precision": precision}
        | _speeds(replace(model, batch_size=batch_size, precision=precision), model.layers[area], stimuli)
        for precision in precisions
        for depth, area in DEPTHS.items()
        for batch_size in plan.batch_sizes
    ]


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


def render(results: dict, plan: Plan) -> str:
    """Results as Markdown."""
    limits, equality, timed = results["limits"], results["equality"], results["timed"]
    flops, on_gpu, cpu = limits["forward_flops"][plan.network], timed["float64"], timed["cpu"]
    held = max(equality[what] for what in ("gram", "r", "score")) <= PROMISED
    equal = [
        ["Gram matrix, relative to its largest entry", f"{equality['gram']:.0e}"],
        ["a neuroid's r", f"{equality['r']:.0e}"],
        ["score", f"{equality['score']:.0e}"],
        ["same number of power iterations everywhere", "yes" if equality["iterations_equal"] else "no"],
        [f"all within {PROMISED:.0e}", "yes" if held else "**NO**"],
    ]
    times = [
        ("Gram, float64", on_gpu["gram_flops"] / limits["float64"], on_gpu["gram_seconds"], cpu["gram_seconds"]),
        ("Gram, float32", on_gpu["gram_flops"] / limits["float32"], timed["float32"]["gram_seconds"], None),
        ("PLS, 10 folds, float64", on_gpu["pls_flops"] / limits["float64"], on_gpu["pls_seconds"], cpu["pls_seconds"]),
    ]
    rows = [[name, *(DASH if took is None else seconds(took) for took in took_by)] for name, *took_by in times]
    recorded = []
    for row in results["recording"]:
        limit = f"{limits['float32'] / flops[row['area']]:.0f}" if row["precision"] == "float32" else DASH
        speeds = [limit, f"{row['forward_per_s']:.0f}", f"{row['images_per_s']:.0f}", seconds(row["gram_seconds"])]
        recorded.append(
            [row["depth"], row["precision"], str(row["batch_size"]), *speeds, size_in_words(row["gpu_bytes"])]
        )
    head = ["up to the layer of", "precision", "batch", "limit, images/s", "forward pass alone", "recorder, from files"]
    rates = ", ".join(f"{dtype} {limits[dtype] / 1e12:.3g} TFLOP/s" for dtype in ("float32", "float64"))
    parts = [
        "# On a GPU",
        in_words(results["machine"], limits["gpu"] or "no GPU: a trial run on the CPU") + f" Matrix products: {rates}.",
        f"## CPU and GPU on the same input, {plan.compared}, float64",
        markdown(["what", "largest difference"], equal),
        f"## Gram and PLS at {plan.timed}",
        markdown(["what", "limit by FLOPs", "GPU", "CPU of this machine"], rows),
        f"Score on the GPU {on_gpu['score']:.6f}, on the CPU {cpu['score']:.6f}; GPU memory at most "
        f"{size_in_words(on_gpu['gpu_bytes'])}. Gram's limit counts one triangle, that of PLS no power iterations.",
        "## Recording",
        markdown([*head, "Gram", "GPU memory"], recorded),
        "Limit: FLOPs of the forward pass up to the layer over the rate of a float32 matrix product, TF32 off. The "
        "recorder reads, decodes and resizes PNG files while the network runs.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
