"""Results as Markdown, ready to paste. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR

from . import added_up
from .machine import in_words
from .measuring import Pair, Results
from .sizes import TRUE_SUITE, SuiteSize

DASH = "–"
DEEPEST = {"textures": "V2", "objects": "IT", "behavior": "behavior"}  # layer at which an image set's pass may stop


def render(results: Results, command: str) -> str:
    """The whole report.

    Parameters
    ----------
    results : Results
    command : that made it
    """
    sections = [
        "# Speed and memory beside brainscore-vision",
        in_words(results.machine, results.threads, results.limits["gpu"]),
        f"Made by `{command}`. Each measurement ran in a process of its own, one after the other; memory is the "
        "largest resident size of that process, its imports included. Activations, images and responses are synthetic, "
        "the same for both sides; networks have random weights.",
    ]
    if results.metric:
        sections += ["## The metric alone", metric_table(results.metric), _METRIC_NOTE]
    if results.recording:
        sections += ["## Recording alone", recording_table(results), _recording_note(results)]
        sections += [limit_table(results)]
    if results.evaluate:
        sections += ["## A whole evaluation of five areas", evaluate_table(results), _evaluate_note(results)]
        if results.evaluate.brainscore and "failed" not in results.evaluate.brainscore:
            sections += [score_table(results.evaluate)]
    if results.metric and results.recording and results.recording_network == "crossvit":
        sections += ["### Added up at true size", sum_table(results), _SUM_NOTE]
    if results.scaling:
        sections += ["## Helper sizes", scaling_table(results), _SCALING_NOTE]
    return "\n\n".join(sections) + "\n"


def metric_table(pairs: Sequence[Pair]) -> str:
    """Both metrics at each size: time, ratio, memory, score and how far the numbers are apart."""
    head = ["stimuli x features x neuroids", "Brain-Score", "ours", "ratio", "wanted", "memory, Brain-Score", "ours",
            "score, Brain-Score", "ours", "difference", "largest difference of a neuroid's r"]  # fmt: skip
    return markdown(head, [_metric_row(pair) for pair in pairs])


def _metric_row(pair: Pair) -> list[str]:
    size, ours, theirs = pair.size, pair.ours, pair.brainscore
    name = f"{size.n_stimuli:,} x {size.n_features:,} x {size.n_neuroids}"
    wanted = DASH if size.wanted is None else f"≥ {size.wanted}"
    if "failed" in theirs:
        numbers = [theirs["failed"], seconds(ours["seconds"]), DASH, wanted, DASH, gigabytes(ours["peak_bytes"])]
        return [name, *numbers, DASH, f"{ours['score']:.6f}", DASH, DASH]
    one_fold = f" (1 fold of {seconds(theirs['seconds'])} x 10)" if theirs["folds"] == 1 else ""
    whole = added_up.ten_folds(theirs)
    n_folds = theirs["folds"]
    our_score = ours["score"] if n_folds == 10 else _score(ours["r"][:n_folds])
    return [
        name,
        seconds(whole) + one_fold,
        seconds(ours["seconds"]),
        f"{whole / ours['seconds']:.0f}",
        wanted,
        gigabytes(theirs["peak_bytes"]),
        gigabytes(ours["peak_bytes"]),
        f"{theirs['score']:.6f}" + (" (1 fold)" if n_folds == 1 else ""),
        f"{our_score:.6f}" + (f" (10 folds: {ours['score']:.6f})" if n_folds == 1 else ""),
        f"{abs(our_score - theirs['score']):.0e}",
        f"{largest_difference(ours['r'][:n_folds], theirs['r']):.0e}",
    ]


def recording_table(results: Results) -> str:
    """Both ways of recording: time, image passes, memory."""
    ours, theirs, n_images = results.recording.ours, results.recording.brainscore, results.recording.size.images
    rows = [
        ["seconds", seconds(theirs["seconds"]), seconds(ours["seconds"]), _ratio(theirs["seconds"], ours["seconds"])],
        ["seconds an image", *(f"{side['seconds'] / n_images:.3f}" for side in (theirs, ours)), DASH],
        ["image passes", str(theirs["passes"]), str(ours["passes"]), _ratio(theirs["passes"], ours["passes"])],
        ["share of the time inside the network", *(_share(side) for side in (theirs, ours)), DASH],
        ["memory", *(gigabytes(side["peak_bytes"]) for side in (theirs, ours)),
         _ratio(theirs["peak_bytes"], ours["peak_bytes"])],
    ]  # fmt: skip
    return markdown([f"{n_images} images, {results.recording_network}", "Brain-Score", "ours", "ratio"], rows)


def limit_table(results: Results) -> str:
    """Ours beside what the arithmetic alone would take, by image set."""
    rate, flops = results.limits["float32"], results.limits["forward_flops"][results.recording_network]
    rows = []
    for name, area in DEEPEST.items():
        part = results.recording.ours["sets"][name]
        measured, limit = part["seconds"] / part["images"], flops[area] / rate
        rows.append([f"{name}, up to {area}", f"{flops[area] / 1e9:.3g}", f"{limit:.3f}", f"{measured:.3f}"])
    return markdown(["image set", "GFLOP an image", "limit, s an image", "ours, s an image"], rows)


def evaluate_table(results: Results) -> str:
    """Both evaluations: time, share in the forward pass, passes, memory."""
    pair = results.evaluate
    ours, theirs = pair.ours, pair.brainscore
    absent = theirs is None or "failed" in theirs
    rows = []
    for name, key, show in (
        ("seconds", "seconds", seconds),
        ("inside the network", "forward_seconds", seconds),
        ("share inside the network", "forward_share", lambda share: f"{100 * share:.0f} %"),
        ("Brain-Score's ceilings", "ceiling_seconds", seconds),
        ("image passes", "passes", str),
        ("memory", "peak_bytes", gigabytes),
        ("of which imports", "import_bytes", gigabytes),
    ):
        ratio = DASH if absent or key not in ("seconds", "passes", "peak_bytes") else _ratio(theirs[key], ours[key])
        rows.append([name, DASH if absent else show(theirs[key]), show(ours[key]), ratio])
    rows.insert(2, ["limit of the network's FLOPs", *(seconds(limit) for limit in _forward_limits(results)), DASH])
    reason = "" if theirs is None or not absent else f": {theirs['failed']}"
    return markdown(
        [f"{pair.size.images} images, {results.evaluate_network}", f"Brain-Score{reason}", "ours", "ratio"], rows
    )


def _forward_limits(results: Results) -> tuple[float, float]:
    """Seconds that the arithmetic of the forward passes alone takes, Brain-Score's whole ones and ours."""
    size, rate = results.evaluate.size, results.limits["float32"]
    flops = results.limits["forward_flops"][results.evaluate_network]
    ours = sum(getattr(size, name) * flops[area] for name, area in DEEPEST.items())
    theirs = added_up.brainscore_passes(size, results.brainscore_batch) * flops["behavior"]
    return theirs / rate, ours / rate


def score_table(pair: Pair) -> str:
    """The five scores of both."""
    rows = [
        [area, f"{pair.brainscore['raw'][area]:.6f}", f"{pair.ours['raw'][area]:.6f}",
         f"{abs(pair.brainscore['raw'][area] - pair.ours['raw'][area]):.0e}"]
        for area in AREAS_AND_BEHAVIOR
    ]  # fmt: skip
    return markdown(["area", "raw r, Brain-Score", "ours", "difference"], rows)


def sum_table(results: Results) -> str:
    """The true size from its parts, both sides."""
    rows = []
    for side, terms in (("ours", added_up.ours(results)), ("Brain-Score", added_up.brainscore(results))):
        rows += [[side, term.what, term.how, _maybe(term.seconds)] for term in terms]
        rows.append([side, "**together**", "", f"**{_maybe(added_up.total(terms))}**"])
    return markdown(["", "what", "how", "time"], rows)


def scaling_table(results: Results) -> str:
    """Gram and PLS of ours at each size, beside the FLOPs' limit."""
    rate32, rate64 = results.limits["float32"], results.limits["float64"]
    rows = []
    for size, measured in results.scaling:
        name = f"{size.n_stimuli:,} x {size.n_features:,} x {size.n_neuroids}"
        gram = [seconds(measured["gram_flops"] / rate32), seconds(measured["gram_seconds"])]
        pls = [seconds(measured["pls_flops"] / rate64), seconds(measured["pls_seconds"])]
        spool = gigabytes(4 * size.n_stimuli * size.n_features)
        rows.append([name, *gram, *pls, gigabytes(measured["peak_bytes"]), spool])
    head = ["stimuli x features x neuroids", "Gram, limit", "Gram", "PLS, 10 folds, limit", "PLS", "memory", "on disk"]
    return markdown(head, rows)


_METRIC_NOTE = (
    "Ten folds of PLS with 25 components, each at the same splits. Ours includes reading the activations from disk and "
    "forming the Gram matrix, and is the median of three runs; Brain-Score's metric gets its assembly in memory, "
    "ready made. Where one fold of Brain-Score was measured it is multiplied by ten, and the numbers compared are "
    "those of that fold."
)

_SUM_NOTE = (
    f"True size: {TRUE_SUITE.textures} images with {TRUE_SUITE.v1} and {TRUE_SUITE.v2} neuroids, "
    f"{TRUE_SUITE.objects} with {TRUE_SUITE.v4} and {TRUE_SUITE.it}, {TRUE_SUITE.behavior} of behaviour, in "
    "CrossViT-18†. **Added up, not measured**: recording as measured per image above, PLS as measured above (V1 and "
    "V2 as 102 neuroids, V4 and IT as 168; for Brain-Score one fold times ten). Ours counts the Gram matrix twice, in "
    "the recording and in PLS."
)

_SCALING_NOTE = (
    "Limits: FLOPs of the products over the rate of a plain matrix product on this machine (float32 for Gram, float64 "
    "for PLS); PLS counts no power iterations. Memory is of the whole process. On disk: what a layer's activations "
    "take in the cache folder until its Gram matrix is formed."
)


def _recording_note(results: Results) -> str:
    size = results.recording.size
    return (
        f"{size.textures} images for V1 and V2, {size.objects} for V4 and IT, {size.behavior} for behaviour. Ours "
        "includes the Gram matrices, and an image for each set that asks the layers' shapes; Brain-Score has its "
        f"cache on, and batches of {results.brainscore_batch}, the last of each area filled up. Limit: FLOPs of the "
        "forward pass up to the layer, counted by torch, over the rate of a plain float32 matrix product "
        f"({results.limits['float32'] / 1e9:.0f} GFLOP/s, measured in this run)."
    )


def _evaluate_note(results: Results) -> str:
    size = results.evaluate.size
    text = (
        f"{_suite_in_words(size)} Time starts after the imports ({results.evaluate.ours['import_seconds']:.0f} s). "
        "Ceilings are Brain-Score's own code on both sides."
    )
    if size == TRUE_SUITE:
        text += " These are the true sizes. Wanted: 85 % of the time inside the network on a CPU, at most 5 GB."
    else:
        text += " This is smaller than the public benchmarks: the share inside the network grows with the images."
    return text + ("" if results.evaluate.brainscore else " Brain-Score's own was not run: see the sum below.")


def _suite_in_words(size: SuiteSize) -> str:
    return (
        f"{size.textures} images x {size.texture_trials} trials for V1 ({size.v1} neuroids) and V2 ({size.v2}), "
        f"{size.objects} x {size.object_trials} for V4 ({size.v4}) and IT ({size.it}), {size.behavior} images of "
        f"{size.behavior_objects} objects for behaviour."
    )


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table.

    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [head, None, *rows]
    return "\n".join("|" + "---|" * len(head) if line is None else f"| {' | '.join(line)} |" for line in lines)


def seconds(value: float) -> str:
    """A time with its unit, to about three digits.

    >>> seconds(0.0123), seconds(4.5), seconds(90), seconds(5400)
    ('12 ms', '4.50 s', '90 s', '1.5 h')
    """
    if value < 0.1:
        return f"{1000 * value:.0f} ms" if value >= 0.001 else f"{1000 * value:.2f} ms"
    if value < 10:
        return f"{value:.2f} s"
    return f"{value:.0f} s" if value < 3600 else f"{value / 3600:.1f} h"


def gigabytes(value: float) -> str:
    """
    >>> gigabytes(1_500_000_000), gigabytes(20_000_000)
    ('1.50 GB', '20 MB')
    """
    return f"{value / 1e9:.2f} GB" if value >= 1e8 else f"{value / 1e6:.0f} MB"


def largest_difference(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> float:
    """Between two tables (splits x neuroids); infinite where one holds NaN and the other does not.

    >>> largest_difference([[0.25, float("nan")]], [[0.75, float("nan")]])
    0.5
    """
    largest = 0.0
    for row, other in zip(first, second, strict=True):
        for value, reference in zip(row, other, strict=True):
            if math.isnan(value) and math.isnan(reference):
                continue
            difference = abs(value - reference)
            largest = max(largest, math.inf if math.isnan(difference) else difference)
    return largest


def _score(r: Sequence[Sequence[float]]) -> float:
    """Median over neuroids, mean over splits."""
    return sum(_median([value for value in row if not math.isnan(value)]) for row in r) / len(r)


def _median(values: list[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _ratio(theirs: float, ours: float) -> str:
    ratio = theirs / ours
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _share(side: dict) -> str:
    return f"{100 * side['forward_seconds'] / side['seconds']:.0f} %"


def _maybe(value: float | None) -> str:
    return DASH if value is None else seconds(value)
