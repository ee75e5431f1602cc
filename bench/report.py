"""Results as Markdown, ready to paste; and the true size added up from measured parts. Standard library only."""

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
    if results.evaluate:
        sections += ["## A whole evaluation of five areas", side_by_side(results, "evaluate")]
        sections += [_evaluation_note(results.evaluate), score_table(results.evaluate)]
    if results.metric and results.recording and results.evaluate and results.evaluate.size == TRUE_SUITE:
        sections += ["### Added up at true size", sum_table(results), _SUM_NOTE]
    if results.scaling:
        sections += ["## Helper sizes", scaling_table(results)]
    return "\n\n".join(section for section in sections if section) + "\n"


def measured(side: dict | None) -> bool:
    """Whether there are numbers: it was asked for, and did not run out of memory."""
    return side is not None and "failed" not in side


def metric_table(pairs: Sequence[Pair]) -> str:
    """Both metrics at each size: time, ratio, memory, score and how far the numbers are apart."""
    head = ["stimuli x features x neuroids", "Brain-Score", "ours", "ratio", "wanted", "memory, Brain-Score", "ours",
            "score, Brain-Score", "ours", "difference", "largest difference of a neuroid's r"]  # fmt: skip
    return markdown(head, [_metric_row(*pair) for pair in pairs])


def _metric_row(size: MetricSize, ours: dict, theirs: dict) -> list[str]:
    wanted = f"≥ {size.wanted}" if size.wanted else DASH
    took, memory, score = seconds(ours["seconds"]), size_in_words(ours["peak_bytes"]), f"{ours['score']:.6f}"
    if not measured(theirs):
        return [str(size), theirs["failed"], took, DASH, wanted, DASH, memory, DASH, score, DASH, DASH]
    whole, n_folds, r = ten_folds(theirs), theirs["folds"], ours["r"][: theirs["folds"]]
    how = folds = ten = ""
    if n_folds < 10:
        folds, ten = f" ({n_folds} fold{'s' if n_folds > 1 else ''})", f" (10 folds: {score})"
        how = f"{folds[:-1]} of {seconds(theirs['seconds'] / n_folds)} x 10)"
    # Brain-Score's score of these folds: median over neuroids, mean over splits
    same = statistics.mean(statistics.median(value for value in row if not math.isnan(value)) for row in r)
    times = [seconds(whole) + how, took, _ratio(whole, ours["seconds"]), wanted]
    scores = [f"{theirs['score']:.6f}{folds}", f"{same:.6f}{ten}", f"{abs(same - theirs['score']):.0e}"]
    differs = f"{largest_difference(r, theirs['r']):.0e}"
    return [str(size), *times, size_in_words(theirs["peak_bytes"]), memory, *scores, differs]


def side_by_side(results: Results, part: str) -> str:
    """Both recordings or both evaluations: time, share in the forward pass, image passes, memory."""
    network = getattr(results.plan, f"{part}_network")
    size, ours, theirs = getattr(results, part)
    flops, there, rows = results.limits["forward_flops"][network], measured(theirs), []
    ours = {**ours, "flops": sum(getattr(size, name) * flops[area] for name, area in DEEPEST.items())}
    if there:
        theirs = {**theirs, "flops": brainscore_passes(size, results.plan.brainscore_batch) * flops["behavior"]}
    for name, value, show in (
        ("seconds", lambda side: side["seconds"], seconds),
        ("seconds an image", lambda side: side["seconds"] / size.images, "{:.3f}".format),
        ("inside the network", lambda side: side["forward_seconds"], seconds),
        ("limit of the network's FLOPs", lambda side: side["flops"] / results.limits["float32"], seconds),
        ("share inside the network", lambda side: 100 * side["forward_seconds"] / side["seconds"], "{:.0f} %".format),
        ("ceilings", lambda side: sum(side["ceilings"].values()), seconds),
        ("image passes", lambda side: side["passes"], str),
        ("memory", lambda side: side["peak_bytes"], size_in_words),
        ("of which imports", lambda side: side["import_bytes"], size_in_words),
    ):
        if name == "ceilings" and part == "recording":
            continue
        ratio = there and name in ("seconds", "image passes", "memory")
        both = [show(value(theirs)) if there else DASH, show(value(ours))]
        rows.append([name, *both, _ratio(value(theirs), value(ours)) if ratio else DASH])
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
    """The five scores of both; nothing where Brain-Score's are not there."""
    if not measured(pair.brainscore):
        return ""
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
    ceilings = evaluated["ceilings"]
    readout = evaluated["area_seconds"]["behavior"] - ceilings["behavior"]
    how = "as in our evaluation" + ("; Brain-Score's own code takes longer" if side == "brainscore" else "")
    terms.append(("ceilings, readout and i2n", how, sum(ceilings.values()) + readout))
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


_METRIC_NOTE = (
    "Ten folds of PLS, 25 components, the same splits. Where Brain-Score's metric was measured on fewer folds, it is "
    "multiplied, and the numbers compared are those folds'."
)
_SUM_NOTE = (
    f"True size: {TRUE_SUITE}. **Added up, not measured**, from the tables above; V1 and V2 as 102 neuroids, V4 and IT "
    "as 168. Ours counts the Gram matrix twice, in the recording and in PLS."
)


def _evaluation_note(pair: Pair) -> str:
    text = f"{pair.size}. Time starts after the imports ({pair.ours['import_seconds']:.0f} s). "
    if pair.size == TRUE_SUITE:
        text += "These are the true sizes. Wanted: 85 % of the time inside the network on a CPU, at most 5 GB."
    else:
        text += "This is smaller than the public benchmarks: the share inside the network grows with the images."
    return text + ("" if pair.brainscore else " Brain-Score's own was not run: see the sum below.")


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


def _ratio(theirs: float, ours: float) -> str:
    return f"{theirs / ours:.0f}" if theirs >= 10 * ours else f"{theirs / ours:.1f}"
