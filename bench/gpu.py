"""`python -m bench.gpu --out DIR`: the engine on a GPU, where there is one.

Needs torch, numpy, scipy, timm and this repository, not brainscore_vision. It compares the GPU's numbers with the
CPU's, and its times with what the arithmetic alone would take.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy
import timm
import torch
from torch import Tensor, nn

from brainscore_submission.engine.budget import Budget
from brainscore_submission.engine.gram import GramAccumulator
from brainscore_submission.engine.images import Request, Stimulus, read_stimuli
from brainscore_submission.engine.pls import aggregate, cross_validate
from brainscore_submission.engine.recorder import PRECISIONS, Recorder
from brainscore_submission.plugin.card import Preprocessing
from brainscore_submission.plugin.hooks import layer_outputs, probe
from brainscore_submission.plugin.preprocessing import load_pixels, normalise

from .architectures import ARCHITECTURES, LAYERS, Architecture
from .images import image_set, write_images
from .limits import forward_flops, gram_flops, pls_flops, product_rate, timed
from .machine import cores
from .sizes import CROSSVIT_FEATURES
from .synthetic import N_CAUSES, NOISE, Activations, shuffled_splits
from .table import gigabytes, markdown, seconds

DEPTHS = {"V1, V2, V4": LAYERS["V4"], "IT": LAYERS["IT"], "behavior": LAYERS["behavior"]}
PROMISED = 1e-6  # largest difference between CPU and GPU, in float64
DASH = "–"
BLOCK_FEATURES = 16_384
REPEATS = 3


@dataclass(frozen=True)
class Plan:
    """How much is measured: stimuli x features x neuroids compared and timed, network, images and batch sizes."""

    compared: tuple[int, int, int]
    timed: tuple[int, int, int]
    network: str
    images: int
    batch_sizes: tuple[int, ...]

    @property
    def architecture(self) -> Architecture:
        """The network by timm's name."""
        return ARCHITECTURES[self.network]


PLANS = {
    "true": Plan((640, 40_000, 50), (3200, CROSSVIT_FEATURES, 168), "crossvit", 512, (32, 64, 128)),
    "tiny": Plan((60, 500, 4), (80, 600, 5), "tiny", 8, (4,)),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, write ``gpu.md`` and ``gpu.json``, and print the table."""
    options = _parser().parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("error: no CUDA device here. --device cpu --plan tiny tries the command out.", file=sys.stderr)
        return 1
    plan, device = PLANS[options.plan], options.device
    results = {"machine": machine(device), "plan": asdict(plan)}
    results["rates"] = {name: product_rate(getattr(torch, name), device) for name in ("float32", "float64")}
    _tell("CPU and GPU on the same input")
    results["equality"] = compare(plan.compared, device)
    _tell("Gram and PLS at true size")
    results["timed"] = time_metric(plan.timed, device)
    with tempfile.TemporaryDirectory() as folder:
        _tell("recording")
        results["recording"] = time_recording(plan, device, Path(folder), options.precision)
    report = render(results)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.json").write_text(json.dumps(results, indent=1))
    (options.out / "gpu.md").write_text(report, encoding="utf-8")
    print(report)
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    made.add_argument("--out", type=Path, required=True, help="folder for gpu.md and gpu.json")
    made.add_argument("--device", default="cuda", help="cuda[:i], or cpu to try the command out")
    made.add_argument("--plan", choices=PLANS, default="true")
    made.add_argument("--precision", nargs="+", default=["float32"], help="of the forward pass; default float32, exact")
    return made


def machine(device: str) -> dict:
    """GPU, cores and versions."""
    gpu = torch.cuda.get_device_properties(device) if device.startswith("cuda") else None
    return {
        "gpu": gpu and gpu.name,
        "gpu_bytes": gpu and gpu.total_memory,
        "cores": cores(),
        "python": platform.python_version(),
        "versions": {package.__name__: package.__version__ for package in (torch, timm, np, scipy)},
    }


# --- equal numbers ----------------------------------------------------------------------------------------------


def compare(size: tuple[int, int, int], device: str) -> dict:
    """Gram matrix and PLS of the same features, CPU against GPU, float64 on both."""
    activations = Activations(*size, seed=0)
    features, responses = activations.rows(slice(None)), activations.responses()
    on_cpu = _gram([features], len(features), "float64")
    on_gpu = _gram([torch.from_numpy(features).to(device)], len(features), "float64")
    splits = shuffled_splits(len(features))
    cpu = cross_validate(on_cpu, responses, splits, device="cpu")
    gpu = cross_validate(on_gpu, responses, splits, device=device)
    return {
        "gram": float(np.abs(on_gpu - on_cpu).max() / np.abs(on_cpu).max()),
        "r": float(np.nanmax(np.abs(gpu.r - cpu.r))),
        "score": abs(aggregate(gpu.r)[0] - aggregate(cpu.r)[0]),
        "score_cpu": aggregate(cpu.r)[0],
        "iterations_equal": bool((gpu.n_iterations == cpu.n_iterations).all()),
    }


def _gram(blocks, n_stimuli: int, dtype: str) -> np.ndarray:
    accumulator = GramAccumulator(n_stimuli, dtype)
    for block in blocks:
        accumulator.add(block)
    return accumulator.result()


# --- the metric at true size ------------------------------------------------------------------------------------


def time_metric(size: tuple[int, int, int], device: str) -> dict:
    """Seconds of Gram and PLS, the features made on the device in blocks of columns; PLS on the CPU beside it."""
    n_stimuli, n_features, n_neuroids = size
    gram, gram_measured = _time_gram(device, n_stimuli, n_features)
    _reset_peak(device)
    responses = Activations(n_stimuli, 1, n_neuroids, seed=0).responses()  # their causes are those of the features
    splits, results = shuffled_splits(n_stimuli), {}

    def fit(where: str) -> None:
        results[where] = cross_validate(gram, responses, splits, device=where)

    pls_seconds = min(timed(lambda: fit(device), device) for _ in range(REPEATS))
    pls_bytes = _peak(device)
    return {
        **gram_measured,
        "pls_seconds": pls_seconds,
        "pls_seconds_cpu": timed(lambda: fit("cpu"), "cpu"),
        "pls_flops": pls_flops(n_stimuli, n_neuroids),
        "pls_bytes": pls_bytes,
        "iterations": int(results[device].n_iterations.sum()),
        "r": float(np.nanmax(np.abs(results[device].r - results["cpu"].r))),
        "score": aggregate(results[device].r)[0],
    }


def _time_gram(device: str, n_stimuli: int, n_features: int) -> tuple[np.ndarray, dict]:
    blocks = list(_features_on(device, n_stimuli, n_features))
    gram = _gram(blocks, n_stimuli, "float64")  # warms up
    _reset_peak(device)
    took = {
        dtype: min(timed(partial(_gram, blocks, n_stimuli, dtype), device) for _ in range(REPEATS))
        for dtype in ("float64", "float32")
    }
    measured = {"gram_seconds": took, "gram_flops": gram_flops(n_stimuli, n_features), "gram_bytes": _peak(device)}
    return gram, measured


def _features_on(device: str, n_stimuli: int, n_features: int) -> Iterator[Tensor]:
    """ReLU activations of shape (n_stimuli, BLOCK_FEATURES), block by block."""
    causes = torch.from_numpy(Activations(n_stimuli, 1, 1, seed=0).causes).to(device)  # (n_stimuli, N_CAUSES)
    generator = torch.Generator(device).manual_seed(0)
    for start in range(0, n_features, BLOCK_FEATURES):
        width = min(BLOCK_FEATURES, n_features - start)
        units = torch.randn(N_CAUSES, width, generator=generator, device=device)
        noise = torch.randn(n_stimuli, width, generator=generator, device=device)
        yield torch.relu(causes @ units + NOISE * noise)


# --- recording --------------------------------------------------------------------------------------------------


def time_recording(plan: Plan, device: str, folder: Path, precisions: list[str]) -> list[dict]:
    """Images a second for each layer, batch size and precision: the recorder's, and the forward pass's alone."""
    images = image_set(folder, "objects", plan.images, 8)
    write_images(images)
    stimuli = tuple(read_stimuli(images.paths))
    torch.manual_seed(0)
    network = timm.create_model(plan.architecture.name).eval()
    flops = forward_flops(network, _load(images.paths[0], plan.architecture.preprocessing)[None], LAYERS.values())
    network = network.to(device)
    return [
        {
            "area": area,
            "batch_size": batch_size,
            "precision": precision,
            "flops": flops[layer],
            **_record(network, plan, layer, stimuli, batch_size, device, precision),
            **_forward_only(network, plan, layer, batch_size, device, precision),
        }
        for precision in precisions
        for area, layer in DEPTHS.items()
        for batch_size in plan.batch_sizes
    ]


def _load(path: Path, preprocessing: Preprocessing) -> Tensor:
    return normalise(load_pixels(path, preprocessing), preprocessing)


def _record(
    network: nn.Module,
    plan: Plan,
    layer: str,
    stimuli: tuple[Stimulus, ...],
    batch_size: int,
    device: str,
    precision: str,
) -> dict:
    _reset_peak(device)
    recorder = Recorder(
        network,
        lambda path: _load(path, plan.architecture.preprocessing),
        fingerprint="bench",
        device=device,
        batch_size=batch_size,
        budget=Budget.default(None, device),
        precision=precision,
    )
    recorder.record([Request(stimuli[:batch_size], grams=frozenset({layer}))])  # warms up
    recording = recorder.record([Request(stimuli, grams=frozenset({layer}))])
    return {
        "images_per_s": recording.image_passes / recording.seconds["forward"],
        "gram_seconds": recording.seconds["gram"],
        "peak_bytes": _peak(device),
    }


def _forward_only(network: nn.Module, plan: Plan, layer: str, batch_size: int, device: str, precision: str) -> dict:
    side = plan.architecture.preprocessing.input_px
    pixels = torch.randn(batch_size, 3, side, side, device=device)
    firings = probe(network, pixels[:1], [layer])

    def forward() -> None:
        with PRECISIONS[precision](torch.device(device).type):
            layer_outputs(network, pixels, [layer], firings)

    forward()
    return {"forward_per_s": batch_size / min(timed(forward, device) for _ in range(REPEATS))}


# --- the table --------------------------------------------------------------------------------------------------


def render(results: dict) -> str:
    """Results as Markdown."""
    compared, size = (" x ".join(f"{n:,}" for n in results["plan"][name]) for name in ("compared", "timed"))
    measured = results["timed"]
    parts = [
        "# On a GPU",
        _machine_in_words(results["machine"], results["rates"]),
        f"## CPU and GPU on the same input, {compared}, float64",
        _equality_table(results["equality"]),
        f"## Gram and PLS at {size}",
        _metric_table(measured, results["rates"]),
        f"PLS: {measured['iterations']} power iterations in all, each a few launches; a neuroid's r differs from the "
        f"CPU's by at most {measured['r']:.0e}; score {measured['score']:.6f}. Gram's limit counts one triangle.",
        "## Recording",
        _recording_table(results["recording"], results["rates"]),
        "Limit: FLOPs of the forward pass up to the layer over the rate of a float32 matrix product, TF32 off. The "
        "recorder reads, decodes and resizes PNG files while the network runs.",
    ]
    return "\n\n".join(parts) + "\n"


def _equality_table(equality: dict) -> str:
    held = max(equality["gram"], equality["r"], equality["score"]) <= PROMISED
    rows = [
        ["Gram matrix, relative to its largest entry", f"{equality['gram']:.0e}"],
        ["a neuroid's r", f"{equality['r']:.0e}"],
        [f"score ({equality['score_cpu']:.6f})", f"{equality['score']:.0e}"],
        ["same number of power iterations everywhere", "yes" if equality["iterations_equal"] else "no"],
        [f"all within {PROMISED:.0e}", "yes" if held else "**NO**"],
    ]
    return markdown(["what", "largest difference"], rows)


def _metric_table(measured: dict, rates: dict) -> str:
    rows = []
    for dtype, took in measured["gram_seconds"].items():
        limit = seconds(measured["gram_flops"] / rates[dtype])
        rows.append([f"Gram, {dtype}", limit, seconds(took), DASH, gigabytes(measured["gram_bytes"])])
    times = (measured["pls_flops"] / rates["float64"], measured["pls_seconds"], measured["pls_seconds_cpu"])
    rows.append(["PLS, 10 folds, float64", *map(seconds, times), gigabytes(measured["pls_bytes"])])
    return markdown(["what", "limit by FLOPs", "GPU", "CPU of this machine", "GPU memory"], rows)


def _recording_table(rows: list[dict], rates: dict) -> str:
    head = ["up to the layer of", "precision", "batch", "limit, images/s", "forward pass alone"]
    head += ["recorder, from files", "Gram", "GPU memory"]
    return markdown(head, [_recording_row(row, rates) for row in rows])


def _recording_row(row: dict, rates: dict) -> list[str]:
    limit = f"{rates['float32'] / row['flops']:.0f}" if row["precision"] == "float32" else DASH
    speeds = [f"{row['forward_per_s']:.0f}", f"{row['images_per_s']:.0f}"]
    memory = gigabytes(row["peak_bytes"])
    return [row["area"], row["precision"], str(row["batch_size"]), limit, *speeds, seconds(row["gram_seconds"]), memory]


def _machine_in_words(machine: dict, rates: dict) -> str:
    gpu = (
        f"{machine['gpu']} ({machine['gpu_bytes'] / 2**30:.0f} GiB)"
        if machine["gpu"]
        else "no GPU: a trial run on the CPU"
    )
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    speed = ", ".join(f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in rates.items())
    cpu = f"{machine['cores']} CPU cores"
    return f"Machine: {gpu}, {cpu}; Python {machine['python']}, {versions}. Matrix products: {speed}."


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
