"""`recordings check`: what was understood, how reliable it is, what to mend. Runs no network."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from brainscore_core.metrics import Score
from brainscore_vision.metrics import Ceiling

from ..words import count, few
from .assembly import assembly
from .behavior import ChoiceBenchmark, check_choices
from .benchmark import benchmark_id, ceiling_of, check_metric
from .consistency import MIN_STIMULI, ceiling_interval, has_ceiling, is_repeated, reliability
from .findings import Finding, FolderError
from .images import Image
from .manifest import FILE_NAME
from .metrics import METRICS
from .reading import Recordings, read_recordings

LOW_RELIABILITY = 0.3
# CrossViT-18 on two CPU cores: seconds of a full forward pass, and the share of it done when the layer
# committed to an area has fired.
SECONDS_PER_IMAGE = 0.45
SHARE_OF_PASS = {"V1": 0.41, "V2": 0.41, "V4": 0.41, "IT": 0.60, "behavior": 1.0}


@dataclass(frozen=True)
class CheckReport:
    """What a recording folder holds and what is wrong with it.

    Attributes
    ----------
    folder : the folder checked
    findings : errors first, then warnings, then notes
    understood : label and value of everything that was read
    neuroids : DataFrame with `neuroid_id`, `area`, `subject`, `reliability` (split-half, NaN without
        repetitions), `missing_share` (of the repetitions), `mean_response`
    ceilings : area -> ceiling, None where there is none
    expected_seconds : for recording CrossViT-18's activations on two CPU cores; None where unreadable
    """

    folder: Path
    findings: tuple[Finding, ...]
    understood: dict[str, str]
    neuroids: pd.DataFrame
    ceilings: dict[str, float | None]
    expected_seconds: float | None

    @property
    def ok(self) -> bool:
        """Whether the folder can be scored."""
        return all(finding.severity != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain numbers, texts and lists; NaN becomes None."""
        lines = self.neuroids.astype(object).where(self.neuroids.notna(), None).to_dict("records")
        return {
            "folder": str(self.folder),
            "ok": self.ok,
            "findings": [asdict(finding) for finding in self.findings],
            "understood": self.understood,
            "neuroids": lines,
            "ceilings": self.ceilings,
            "expected_seconds": self.expected_seconds,
        }


def check(folder: str | Path, cache: Path | None = None) -> CheckReport:
    """Check a recording folder.

    Parameters
    ----------
    folder : a recording folder
    cache : where stimuli.zip is unpacked; the user's cache folder by default

    Returns
    -------
    CheckReport
        A folder that cannot be read gives a report with the one error that stopped the reading.
    """
    try:
        recordings = read_recordings(folder, cache)
    except FolderError as error:
        return CheckReport(Path(folder), (error.finding,), {}, _NO_NEUROIDS, {}, None)
    neuroids = _describe_neuroids(recordings)
    ceilings, findings = _find_ceilings(recordings)
    findings = [
        *recordings.findings,
        *findings,
        *_about_images(recordings),
        *_about_responses(recordings, neuroids),
        *_about_metric(recordings),
        *_about_choices(recordings, ceilings),
        *_about_origin(recordings),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    return CheckReport(
        folder=Path(folder),
        findings=tuple(sorted(findings, key=lambda finding: order[finding.severity])),
        understood=_understood(recordings),
        neuroids=neuroids,
        ceilings=ceilings,
        expected_seconds=_expected_seconds(recordings),
    )


_NO_NEUROIDS = pd.DataFrame(columns=["neuroid_id", "area", "subject", "reliability", "missing_share", "mean_response"])


def _describe_neuroids(recordings: Recordings) -> pd.DataFrame:
    if not len(recordings.neuroids):
        return _NO_NEUROIDS
    values = recordings.responses
    reliable = np.full(len(values), np.nan)
    for area in recordings.areas:
        if has_ceiling(recordings.of_area(area)):
            members = (recordings.neuroids["area"] == area).to_numpy()
            reliable[members] = reliability(values[members])
    return recordings.neuroids.assign(
        reliability=reliable,
        missing_share=np.isnan(values).mean(axis=(1, 2)),
        mean_response=np.nanmean(values, axis=(1, 2)),
    )


def _find_ceilings(recordings: Recordings) -> tuple[dict, list[Finding]]:
    ceilings, findings = {}, []
    for area in recordings.areas:
        found = ceiling_of(recordings, area)
        findings += _about_repetitions(recordings, area, found)
        ceilings[area] = None
        if found is not None:
            ceiling = found(assembly(recordings, area, average=True))
            ceilings[area] = float(ceiling)
            findings += _about_signal(area, ceiling)
    return ceilings, findings


def _about_repetitions(recordings: Recordings, area: str, found: Ceiling | None) -> list[Finding]:
    values, neuroids = recordings.of_area(area), recordings.neuroids_of(area)
    once = neuroids["neuroid_id"][~is_repeated(values)]
    short = f"{len(once)} of {count(len(values), 'neuroid')} without two repetitions of {MIN_STIMULI} stimuli"
    if found is None:
        advice = f"Leave them out if the others have: exclude_neuroids in {FILE_NAME}; or give noise_ceiling_r2 in "
        return [
            Finding(
                "warning",
                f"{area}: no ceiling: {short}. Scores will be raw correlations, and marked.",
                advice + "neuroids.csv, or save the repetitions as third axis.",
            )
        ]
    if not has_ceiling(values):
        return [Finding("note", f"{area}: the ceiling is the median of the noise ceilings in neuroids.csv.")]
    findings = []
    if "ceiling" in neuroids:
        findings.append(Finding("note", f"{area}: noise ceilings of neuroids.csv not used: there are repetitions."))
    if len(once):
        listed = few([f'"{name}"' for name in once], 20)
        findings.append(
            Finding(
                "warning",
                f"{area}: {short}: {few(once)}. The ceiling is that of the others.",
                f"Leave them out of the score too: exclude_neuroids = [{listed}] in {FILE_NAME}.",
            )
        )
    repeated = float(((~np.isnan(values)).sum(axis=2) >= 2).mean())
    if repeated < 0.9:
        findings.append(
            Finding(
                "warning",
                f"{area}: only {repeated:.0%} of the stimuli were repeated: the ceiling describes those.",
                "Scores use all stimuli and may lie lower for that reason alone.",
            )
        )
    return findings


def _about_signal(area: str, ceiling: Score) -> list[Finding]:
    """Warn of recordings that may agree with themselves by chance alone."""
    low, high = ceiling_interval(ceiling.attrs[Score.RAW_VALUES_KEY].values)
    if float(ceiling) > 0 and low > 0:
        return []
    numbers = f"{float(ceiling):.3f} (95 % {low:.3f} to {high:.3f})".replace("-", "−")
    return [
        Finding(
            "warning",
            f"{area}: ceiling {numbers}: no reliable signal; scores against it mean nothing.",
            "See that repetitions of one stimulus stand together, in the order of the stimuli; else record more.",
        )
    ]


def _about_images(recordings: Recordings) -> list[Finding]:
    images = recordings.images
    findings = []
    by_pixels: dict[str, list[str]] = {}
    for image in images:
        by_pixels.setdefault(image.pixels_sha256, []).append(image.name)
    twins = [" = ".join(names) for names in by_pixels.values() if len(names) > 1]
    if twins:
        findings.append(
            Finding(
                "warning",
                f"{count(len(twins), 'picture')} present more than once: {few(twins, limit=3)}.",
                "Equal pictures in training and test flatter a model: join their repetitions into one stimulus.",
            )
        )
    sizes = Counter(image.size for image in images)
    if len(sizes) > 1:
        shown = few([f"{width} x {height}" for width, height in sizes], limit=3)
        findings.append(
            Finding(
                "warning",
                f"images of {len(sizes)} sizes: {shown}; visual_degrees is taken as the width of each.",
                "Bring them to the size in which they were shown.",
            )
        )
    oblong = [image.name for image in images if image.size[0] != image.size[1]]
    if oblong:
        findings.append(
            Finding(
                "warning",
                f"{count(len(oblong), 'image')} not square: {few(oblong, limit=3)}; models squeeze them.",
                "Pad them to squares with the background that was shown.",
            )
        )
    return findings + converted(images)


def converted(images: Sequence[Image]) -> list[Finding]:
    """Which images a network is shown otherwise than their files have them."""
    findings = []
    see_through = [image.name for image in images if "A" in image.mode or "transparency" in image.mode]
    if see_through:
        findings.append(
            Finding(
                "warning",
                f"{count(len(see_through), 'image')} with transparency: {few(see_through, limit=3)}; it is dropped.",
                "Save them on the background that was shown, as RGB or grey.",
            )
        )
    of_other_colours = [image.name for image in images if image.mode in ("CMYK", "YCbCr", "HSV")]
    if of_other_colours:
        findings.append(
            Finding(
                "warning",
                f"{count(len(of_other_colours), 'image')} of other colours than RGB: {few(of_other_colours, limit=3)}.",
                "They are converted without a colour profile: save them as RGB, as they were shown.",
            )
        )
    return findings


def _about_responses(recordings: Recordings, neuroids: pd.DataFrame) -> list[Finding]:
    if not len(neuroids):
        return []
    findings = []
    missing = float(neuroids["missing_share"].mean())
    if missing:
        findings.append(Finding("note", f"{missing:.1%} of the repetitions are missing (NaN); means skip them."))
    weak = neuroids[neuroids["reliability"] < LOW_RELIABILITY]
    if len(weak):
        findings.append(
            Finding(
                "warning",
                f"{count(len(weak), 'neuroid')} with a reliability below {LOW_RELIABILITY}: {few(weak['neuroid_id'])}.",
                f"Keep them, or list them in {FILE_NAME}: exclude_neuroids = […]; --json names all.",
            )
        )
    n_neuroids, _, n_repetitions = recordings.responses.shape
    if n_repetitions > n_neuroids:
        findings.append(
            Finding(
                "warning",
                f"{n_repetitions} repetitions but {count(n_neuroids, 'neuroid')}: are the two axes exchanged?",
                f'If so: axes = ["repetition", "stimulus", "neuroid"] in {FILE_NAME}.',
            )
        )
    return findings


def _about_metric(recordings: Recordings) -> list[Finding]:
    findings = []
    for area in recordings.areas:
        try:
            check_metric(recordings, area, "pls")
        except FolderError as error:
            other = [name for name in METRICS if _accepts(recordings, area, name)]
            severity = "warning" if other else "error"
            findings.append(Finding(severity, f"{area}: {error.finding.message}", error.finding.remedy))
    return findings


def _accepts(recordings: Recordings, area: str, metric: str) -> bool:
    try:
        check_metric(recordings, area, metric)
    except FolderError:
        return False
    return True


def _about_choices(recordings: Recordings, ceilings: dict[str, float | None]) -> list[Finding]:
    if recordings.trials is None:
        return []
    try:
        findings = check_choices(recordings)
        choices = ChoiceBenchmark(recordings, benchmark_id(recordings, "behavior", "i2n"))
        per_split = choices.ceiling.attrs[Score.RAW_VALUES_KEY].values
    except FolderError as error:
        return [error.finding]
    ceilings["behavior"] = ceiling = float(choices.ceiling)
    others, halves = choices.ceilings_of_other_halves(), []
    if len(others) > 1:
        spread = np.std(others) / np.sqrt(len(per_split))
        said = f"behavior: which random halves of the trials are drawn moves the ceiling by ±{spread:.3f}."
        halves = [Finding("note", said)]
    if ceiling > 0 and (per_split > 0).all():
        return [*findings, *halves]
    below = f"; below 0 in {(per_split <= 0).sum()} of {len(per_split)} splits" if ceiling > 0 else ""
    message = f"behavior: ceiling {ceiling:.3f}{below}: no reliable signal; scores against it mean nothing."
    remedy = "See that trials.csv names the right stimuli and choices; else record more."
    return [*findings, *halves, Finding("warning", message.replace("ceiling -", "ceiling −"), remedy)]


def _about_origin(recordings: Recordings) -> list[Finding]:
    silent = [key for key in ("subject", "unit", "source", "licence") if getattr(recordings.manifest, key) is None]
    if not silent:
        return []
    return [Finding("note", f"{FILE_NAME} does not say: {few(silent)}.", "Add them for whoever reads the scores.")]


def _understood(recordings: Recordings) -> dict[str, str]:
    manifest = recordings.manifest
    n_neuroids, n_stimuli, n_repetitions = recordings.responses.shape
    facts = {"name": recordings.name, "stimuli": f"{n_stimuli}, {manifest.visual_degrees:g} degrees wide"}
    if n_neuroids:
        per_area = [f"{count(len(recordings.neuroids_of(area)), 'neuroid')} in {area}" for area in recordings.areas]
        present = (~np.isnan(recordings.responses)).sum(axis=2)
        fewest, most = int(present.min()), int(present.max())
        start, end = recordings.time_window_ms
        facts["neuroids"] = ", ".join(per_area)
        facts["repetitions"] = str(most) if fewest == most else f"{fewest} to {most} of {n_repetitions}"
        facts["time window"] = f"{start:g} to {end:g} ms"
        facts["splits balance"] = manifest.strata or "nothing (no strata)"
    if recordings.trials is not None:
        trials = recordings.trials
        facts["choices"] = (
            f"{count(len(trials), 'trial')} on {count(trials['stimulus_id'].nunique(), 'stimulus', 'stimuli')} "
            f"by {count(trials['subject'].nunique(), 'subject')}"
        )
    facts |= {key: getattr(manifest, key) for key in ("subject", "unit", "source", "licence") if getattr(manifest, key)}
    return facts


def _expected_seconds(recordings: Recordings) -> float:
    seconds = 0.0
    if recordings.areas:
        share = max(SHARE_OF_PASS[area] for area in recordings.areas)
        seconds += len(recordings.stimuli) * SECONDS_PER_IMAGE * share
    if recordings.trials is not None and "object_name" in recordings.stimuli:
        wanted = recordings.stimuli["stimulus_id"].isin(recordings.trials["stimulus_id"])
        if "role" in recordings.stimuli:
            wanted |= recordings.stimuli["role"] == "fit"
        seconds += int(wanted.sum()) * SECONDS_PER_IMAGE
    return seconds
