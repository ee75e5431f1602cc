"""Results as Markdown, ready to paste; and the true size added up from measured parts. Standard library only."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from brainscore_submission.words import size_in_words

from .processes import in_words
from .sizes import TRUE_METRIC, TRUE_SUITE, MetricSize, Plan, SuiteSize

DASH = "–"
DEEPEST = {"textures": "V2", "objects": "IT", "behavior": "behavior"}  # at whose layer an image set's pass may stop


class Pair(NamedTuple):
    """The same thing measured twice; `brainscore` is None where it was not asked for."""

    size: MetricSize | SuiteSize
    ours: dict
    brainscore: dict | None


class Results(NamedTuple):
    """What a run measured; a part that was not asked for is empty or None."""

    plan: Plan
    machine: dict
    threads: int
    limits: dict
    metric: list[Pair] = []
    recording: Pair | None = None
    evaluate: Pair | None = None
    scaling: list[tuple[MetricSize, dict]] = []


def render(results: Results, command: str) -> str:
    """The whole report of a run of `command`."""
    evaluation = results.evaluate
    sections = [
        "# Speed and memory beside brainscore-vision",
        in_words(results.machine, results.limits["gpu"], results.threads),
        f"Made by `{command}`. Each measurement ran in a process of its own, one after the other; memory is the "
        "largest resident size of that process, its imports included. Activations, images and responses are synthetic, "
        "the same for both sides; networks have random weights. docs/performance.md says what each row is.",
    ]
    if results.metric:
        sections += ["## The metric alone", metric_table(results.metric), _METRIC_NOTE]
    if results.recording:
        sections += ["## Recording alone", side_by_side(results, "recording"), limit_table(results)]
        sections += [_recording_note(results)]
    if evaluation:
        sections += ["## A whole evaluation of five areas", side_by_side(results, "evaluate")]
        sections += [
            _evaluation_note(evaluation),
            *([score_table(evaluation)] if measured(evaluation.brainscore) else []),
        ]
    # A sum of the paper's network, where its own ceilings and readout were measured.
    if results.metric and results.recording and evaluation and evaluation.size == TRUE_SUITE:
        sections += ["### Added up at true size", sum_table(results), _SUM_NOTE]
    if results.scaling:
        sections += ["## Helper sizes", scaling_table(results), _SCALING_NOTE]
    return "\n\n".join(sections) + "\n"


def measured(side: dict | None) -> bool:
    """Whether there are numbers: it was asked for, and did not run out of memory."""
    return side is not None and "failed" not in side


# --- tables ---------------------------------------------------------------------------------------------------------


def metric_table(pairs: Sequence[Pair]) -> str:
    """Both metrics at each size: time, ratio, memory, score and how far the numbers are apart."""
    head = ["stimuli x features x neuroids", "Brain-Score", "ours", "ratio", "wanted", "memory, Brain-Score", "ours",
            "score, Brain-Score", "ours", "difference", "largest difference of a neuroid's r"]  # fmt: skip
    return markdown(head, [_metric_row(*pair) for pair in pairs])


def _metric_row(size: MetricSize, ours: dict, theirs: dict) -> list[str]:
    wanted = f"≥ {size.wanted}" if size.wanted else DASH
    took, memory = seconds(ours["seconds"]), size_in_words(ours["peak_bytes"])
    if not measured(theirs):
        return [str(size), theirs["failed"], took, DASH, wanted, DASH, memory, DASH, f"{ours['score']:.6f}", DASH, DASH]
    n_folds, whole = theirs["folds"], ten_folds(theirs)
    few = "" if n_folds == 10 else f"{n_folds} fold{'s' if n_folds > 1 else ''}"
    same_folds = ours["r"][:n_folds]
    our_score = _score(same_folds) if few else ours["score"]
    return [
        str(size),
        seconds(whole) + (f" ({few} of {seconds(theirs['seconds'] / n_folds)} x 10)" if few else ""),
        took,
        _ratio(whole, ours["seconds"]),
        wanted,
        size_in_words(theirs["peak_bytes"]),
        memory,
        f"{theirs['score']:.6f}" + (f" ({few})" if few else ""),
        f"{our_score:.6f}" + (f" (10 folds: {ours['score']:.6f})" if few else ""),
        f"{abs(our_score - theirs['score']):.0e}",
        f"{largest_difference(same_folds, theirs['r']):.0e}",
    ]


def side_by_side(results: Results, part: str) -> str:
    """Both recordings or both evaluations: time, limit, share in the forward pass, image passes, memory."""
    pair, network = getattr(results, part), getattr(results.plan, f"{part}_network")
    size, (_, ours, theirs) = pair.size, pair
    flops, there = results.limits["forward_flops"][network], measured(theirs)
    our_needs = sum(getattr(size, name) * flops[area] for name, area in DEEPEST.items())
    brainscore_needs = brainscore_passes(size, results.plan.brainscore_batch) * flops["behavior"]
    limit = [seconds(needed / results.limits["float32"]) for needed in (brainscore_needs, our_needs)]
    rows = [["limit of the network's FLOPs", *limit, DASH]]
    for name, key, show in (
        ("seconds", "seconds", seconds),
        ("seconds an image", "seconds", lambda took: f"{took / size.images:.3f}"),
        ("inside the network", "forward_seconds", seconds),
        ("Brain-Score's ceilings", "ceiling_seconds", seconds),
        ("image passes", "passes", str),
        ("memory", "peak_bytes", size_in_words),
        ("of which imports", "import_bytes", size_in_words),
    ):
        if key in ours:
            ratio = _ratio(theirs[key], ours[key]) if there and name in ("seconds", "image passes", "memory") else DASH
            rows.append([name, show(theirs[key]) if there else DASH, show(ours[key]), ratio])
    share = [
        f"{100 * side['forward_seconds'] / side['seconds']:.0f} %" if side else DASH
        for side in (there and theirs, ours)
    ]
    rows.append(["share inside the network", *share, DASH])
    reason = f": {theirs['failed']}" if theirs and not there else ""
    return markdown([f"{size.images} images, {network}", f"Brain-Score{reason}", "ours", "ratio"], rows)


def limit_table(results: Results) -> str:
    """Ours beside what the arithmetic alone would take, by image set."""
    flops = results.limits["forward_flops"][results.plan.recording_network]
    rows = []
    for name, area in DEEPEST.items():
        part, limit = results.recording.ours["sets"][name], flops[area] / results.limits["float32"]
        took = part["seconds"] / part["passes"]
        rows.append([f"{name}, up to {area}", f"{flops[area] / 1e9:.3g}", f"{limit:.3f}", f"{took:.3f}"])
    return markdown(["image set", "GFLOP an image", "limit, s an image", "ours, s an image"], rows)


def score_table(pair: Pair) -> str:
    """The five scores of both."""
    both = ((area, theirs, pair.ours["raw"][area]) for area, theirs in pair.brainscore["raw"].items())
    rows = [[area, f"{theirs:.6f}", f"{ours:.6f}", f"{abs(theirs - ours):.0e}"] for area, theirs, ours in both]
    return markdown(["area", "raw r, Brain-Score", "ours", "difference"], rows)


def sum_table(results: Results) -> str:
    """The true size from its parts, both sides."""
    rows = [
        [name, what, how, "not measured" if took is None else seconds(took)]
        for side, name in (("ours", "ours"), ("brainscore", "Brain-Score"))
        for what, how, took in true_size(results, side)
    ]
    return markdown(["", "what", "how", "time"], rows)


def scaling_table(results: Results) -> str:
    """Our Gram matrix and PLS at each size, beside the FLOPs' limit."""
    rows = []
    for size, took in results.scaling:
        gram = [seconds(took["gram_flops"] / results.limits["float32"]), seconds(took["gram_seconds"])]
        pls = [seconds(took["pls_flops"] / results.limits["float64"]), seconds(took["pls_seconds"])]
        memory = [size_in_words(took["peak_bytes"]), size_in_words(4 * size.n_stimuli * size.n_features)]
        rows.append([str(size), *gram, *pls, *memory])
    head = ["stimuli x features x neuroids", "Gram, limit", "Gram", "PLS, 10 folds, limit", "PLS", "memory", "on disk"]
    return markdown(head, rows)


# --- the true size, added up ----------------------------------------------------------------------------------------


def true_size(results: Results, side: str) -> list[tuple[str, str, float | None]]:
    """What an evaluation takes at true size, term by term: what, count x cost in words, seconds (None: not measured).

    Ours shows every image once, up to its deepest layer; Brain-Score every image of every layer's recording to the
    whole network.
    """
    recording, evaluated, terms = getattr(results.recording, side), results.evaluate.ours, []
    if side == "ours":
        counted = {
            f"recording, {name}": (getattr(TRUE_SUITE, name), "images", recording["sets"][name]) for name in DEEPEST
        }
    else:
        counted = {"recording": (brainscore_passes(TRUE_SUITE), "image passes", recording)}
    for what, (n, unit, took) in counted.items():
        cost = took["seconds"] / took["passes"] if measured(took) else math.nan
        terms.append((what, f"{n} {unit} x {cost:.3f} s", n * cost if measured(took) else None))
    at = {pair.size.n_stimuli: pair for pair in results.metric if pair.size.n_features == TRUE_METRIC.n_features}
    for areas, n_stimuli in (("V1 and V2", TRUE_SUITE.textures), ("V4 and IT", TRUE_SUITE.objects)):
        took = getattr(at[n_stimuli], side) if n_stimuli in at else None
        cost = ten_folds(took) if measured(took) else math.nan
        terms.append((f"PLS, {areas}", f"2 x {cost:.1f} s", 2 * cost if measured(took) else None))
    readout = evaluated["area_seconds"]["behavior"] - evaluated["behavior_ceiling_seconds"]
    how = "Brain-Score's code, as it ran in our evaluation"
    terms.append(("ceilings, readout and i2n", how, evaluated["ceiling_seconds"] + readout))
    whole = [took for *_, took in terms]
    return [*terms, ("**together**", "", None if None in whole else sum(whole))]


def brainscore_passes(size: SuiteSize, batch: int = 64) -> int:
    """Image passes with Brain-Score's cache on: V2 finds V1's layer there, IT's is another than V4's.

    >>> brainscore_passes(TRUE_SUITE)
    8768
    """
    textures, objects, behavior = (-(-n // batch) * batch for n in (size.textures, size.objects, size.behavior))
    return textures + 2 * objects + behavior


def ten_folds(side: dict) -> float:
    """Seconds of the metric; where only some folds were measured, multiplied to ten."""
    return side["seconds"] * 10 / side["folds"]


# --- notes ----------------------------------------------------------------------------------------------------------

_METRIC_NOTE = (
    "Ten folds of PLS, 25 components, the same splits. Ours reads the activations from disk and forms the Gram matrix, "
    "median of three runs; Brain-Score's gets its assembly ready made in memory. Where it was measured on fewer folds, "
    "it is multiplied, and the numbers compared are those folds'."
)

_SUM_NOTE = (
    f"True size: {TRUE_SUITE}, CrossViT-18†. **Added up, not measured**: recording as measured per image above, PLS as "
    "measured above (V1 and V2 as 102 neuroids, V4 and IT as 168; for Brain-Score one fold times ten). Ours counts the "
    "Gram matrix twice, in the recording and in PLS."
)

_SCALING_NOTE = (
    "Limits: FLOPs over the rate of a plain matrix product here (float32 for Gram, float64 for PLS, no power "
    "iterations). Memory is of the whole process; on disk, a layer's activations until its Gram matrix is formed."
)


def _recording_note(results: Results) -> str:
    return (
        "Ours includes the Gram matrices, and an image for each set that asks the layers' shapes; Brain-Score has its "
        f"cache on, and batches of {results.plan.brainscore_batch}, the last of each area filled up. Limit: FLOPs of "
        "the forward pass up to the layer, counted by torch, over the rate of a plain float32 matrix product "
        f"({results.limits['float32'] / 1e9:.0f} GFLOP/s, measured in this run)."
    )


def _evaluation_note(pair: Pair) -> str:
    text = f"{pair.size}. Time starts after the imports ({pair.ours['import_seconds']:.0f} s). "
    text += "Ceilings are Brain-Score's own code on both sides. "
    if pair.size == TRUE_SUITE:
        text += "These are the true sizes. Wanted: 85 % of the time inside the network on a CPU, at most 5 GB."
    else:
        text += "This is smaller than the public benchmarks: the share inside the network grows with the images."
    return text + ("" if pair.brainscore else " Brain-Score's own was not run: see the sum below.")


# --- numbers --------------------------------------------------------------------------------------------------------


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table.

    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def seconds(value: float) -> str:
    """A time with its unit, to about three digits: ratios are worked out from them.

    >>> seconds(0.0123), seconds(4.5), seconds(90), seconds(5400)
    ('12 ms', '4.50 s', '90 s', '1.5 h')
    """
    if value < 0.1:
        return f"{1000 * value:.0f} ms" if value >= 0.001 else f"{1000 * value:.2f} ms"
    if value < 10:
        return f"{value:.2f} s"
    return f"{value:.0f} s" if value < 3600 else f"{value / 3600:.1f} h"


def largest_difference(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> float:
    """Between two tables (splits x neuroids); infinite where one holds NaN and the other does not.

    >>> largest_difference([[0.25, float("nan")]], [[0.75, float("nan")]])
    0.5
    """
    pairs = [pair for rows in zip(first, second, strict=True) for pair in zip(*rows, strict=True)]
    differences = [abs(value - other) for value, other in pairs if not math.isnan(value) or not math.isnan(other)]
    return max((math.inf if math.isnan(difference) else difference for difference in differences), default=0.0)


def _score(r: Sequence[Sequence[float]]) -> float:
    """Median over neuroids, mean over splits."""
    return statistics.mean(statistics.median(value for value in row if not math.isnan(value)) for row in r)


def _ratio(theirs: float, ours: float) -> str:
    return f"{theirs / ours:.0f}" if theirs >= 10 * ours else f"{theirs / ours:.1f}"
