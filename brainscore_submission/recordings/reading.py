"""A recording folder, read and checked. Nothing is written into it."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..plugin.errors import suggest
from ..words import count, few
from .axes import average_window, find_axes, put_in_order
from .damage import reading_folder
from .findings import Finding, FolderError, named
from .formats import OTHER_FORMATS, READERS, read_responses, suffix_of
from .images import Image, find_images
from .labels import settle_labels
from .manifest import FILE_NAME, Manifest, area_name, missing_keys, read_manifest
from .responses import Responses
from .tables import complete_neuroids, list_neuroids, list_stimuli, usual_order
from .trials import read_trials


@dataclass(frozen=True, eq=False)
class Recordings:
    """A lab's own recordings: images, responses of neuroids to them, human choices.

    Attributes
    ----------
    manifest : what recordings.toml says
    stimuli : DataFrame, one line a stimulus: `stimulus_id`, `image`, the stimuli table's columns
    images : the image of every stimulus, in the order of `stimuli`
    neuroids : DataFrame, one line a neuroid: `neuroid_id`, `area`, `subject`
    responses : ndarray of shape (n_neuroids, n_stimuli, n_repetitions), NaN where a repetition is missing
    time_window_ms : (start, end) that the responses cover
    trials : DataFrame of human choices, or None
    findings : remarks made while reading
    """

    manifest: Manifest
    stimuli: pd.DataFrame
    images: tuple[Image, ...]
    neuroids: pd.DataFrame
    responses: np.ndarray
    time_window_ms: tuple[float, float] | None
    trials: pd.DataFrame | None
    findings: tuple[Finding, ...]

    @property
    def name(self) -> str:
        """The short name in benchmark ids."""
        return self.manifest.name

    @property
    def areas(self) -> tuple[str, ...]:
        """The areas recorded from, in the order of the neuroids."""
        return tuple(dict.fromkeys(self.neuroids["area"]))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of all that can change a score: images, ids, labels, responses, choices, degrees, window."""
        tables = [self.stimuli, self.neuroids, *([] if self.trials is None else [self.trials])]
        facts = {
            "visual_degrees": self.manifest.visual_degrees,
            "time_window_ms": self.time_window_ms,
            "strata": self.manifest.strata,
            "images": [image.sha256 for image in self.images],
            "shape": self.responses.shape,
            "tables": [table.to_dict("list") for table in tables],
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.responses).tobytes())
        return digest.hexdigest()

    @property
    def identifier(self) -> str:
        """Name and content: Brain-Score caches placed stimuli and ceilings by it."""
        return f"recordings.{self.name}.{self.content_hash[:12]}"

    def of_area(self, area: str) -> np.ndarray:
        """Return the responses of one area's neuroids, of shape (n_neuroids, n_stimuli, n_repetitions)."""
        self._check_area(area)
        return self.responses[(self.neuroids["area"] == area).to_numpy()]

    def neuroids_of(self, area: str) -> pd.DataFrame:
        """Return the lines of one area's neuroids."""
        self._check_area(area)
        return self.neuroids[self.neuroids["area"] == area].reset_index(drop=True)

    def _check_area(self, area: str) -> None:
        if area not in self.areas:
            raise FolderError(f"{self.name} has no recordings from '{area}'.", suggest(area, self.areas).strip())


def read_recordings(folder: str | Path, cache: Path | None = None) -> Recordings:
    """Read and check a recording folder.

    Parameters
    ----------
    folder : holds recordings.toml, stimuli/ or stimuli.zip, and responses.* or trials.csv
    cache : where stimuli.zip is unpacked; the user's cache folder by default

    Returns
    -------
    Recordings

    Raises
    ------
    FolderError
        At the first thing that makes the folder unusable: what was found, and the remedy.
    """
    return read_described(read_manifest(Path(folder)), cache)


def read_described(manifest: Manifest, cache: Path | None = None) -> Recordings:
    """Read and check a folder of which the manifest is known; as `read_recordings`."""
    images, findings = find_images(manifest, cache)
    path = _find_responses(manifest)
    found = None
    if path is not None:
        found = settle_labels(read_responses(path, manifest), images, usual_order(manifest, images), manifest)
        findings += found.findings
    stimuli = list_stimuli(manifest, images, found.stimulus_ids if found else None)
    trials, more = read_trials(manifest, stimuli, images)
    findings += more
    if found is None and trials is None:
        raise _no_responses(manifest)
    findings += _unused_images(images, stimuli)
    neuroids, values, window = _no_neuroids(len(stimuli))
    if found is not None:
        neuroids, values, window, more = _arrange(manifest, found, len(stimuli))
        findings += more
    stimuli, neuroids, values, more = _exclude(manifest, stimuli, neuroids, values)
    findings += more
    if found is not None:
        check_values(values, neuroids, stimuli)
    if trials is not None:
        trials = trials[trials["stimulus_id"].isin(stimuli["stimulus_id"])].reset_index(drop=True)
    return Recordings(
        manifest=manifest,
        stimuli=stimuli,
        images=tuple(images[name] for name in stimuli["image"]),
        neuroids=neuroids,
        responses=values,
        time_window_ms=window,
        trials=trials,
        findings=tuple(findings),
    )


def _no_responses(manifest: Manifest) -> FolderError:
    message = f"{manifest.folder} holds neither responses nor human choices"
    for path in sorted(manifest.folder.iterdir()):
        what, how = OTHER_FORMATS.get(suffix_of(path), (None, None))
        if what is not None:
            return FolderError(f"{message} that can be read; {path.name} is {what}.", f"Convert it: {how}.")
    return FolderError(
        f"{message}.", f"Add responses ({', '.join('responses' + suffix for suffix in READERS)}) or trials.csv."
    )


def _find_responses(manifest: Manifest) -> Path | None:
    if manifest.responses is not None:
        return manifest.responses
    with reading_folder(manifest.folder):
        present = [path for path in sorted(manifest.folder.glob("responses.*")) if not path.name.endswith("~")]
    if len(present) > 1:
        raise FolderError(
            f"{manifest.folder} holds several files of responses: {few([path.name for path in present])}.",
            f'Say which one is meant: responses = "{present[0].name}" in {FILE_NAME}.',
        )
    return present[0] if present else None


def _unused_images(images: dict[str, Image], stimuli: pd.DataFrame) -> list[Finding]:
    unused = sorted(set(images) - set(stimuli["image"]))
    if not unused:
        return []
    return [Finding("note", f"{count(len(unused), 'image')} without responses, not used: {few(unused, limit=3)}.")]


def _no_neuroids(n_stimuli: int) -> tuple[pd.DataFrame, np.ndarray, None]:
    return pd.DataFrame({"neuroid_id": [], "area": [], "subject": []}), np.empty((0, n_stimuli, 1)), None


def _arrange(manifest: Manifest, found: Responses, n_stimuli: int):
    """Put the axes in order, average the time bins and complete the neuroids' table."""
    stated, findings = list_neuroids(manifest, found.neuroids)
    declared = found.axes or manifest.axes
    axes, transposed = find_axes(found.values.shape, n_stimuli, None if stated is None else len(stated), declared)
    values = put_in_order(found.values, axes)
    if values.ndim != 4 and manifest.time_window_ms is None:
        homeless = manifest.area is None and (stated is None or "area" not in stated)
        raise missing_keys(["time_window_ms", *(["area"] if homeless else [])])
    values, window, outside = _one_time_bin(manifest, found, values)
    neuroids = complete_neuroids(stated, len(values), manifest)
    if manifest.area is not None:
        neuroids, values, others = _keep_area(manifest.area, neuroids, values)
        findings += others
    for area in neuroids["area"].unique():  # those left out above may bear any name
        area_name(area, "the neuroids")
    return neuroids, values, window, findings + [item for item in (transposed, outside) if item]


def _one_time_bin(manifest: Manifest, found: Responses, values: np.ndarray):
    if values.ndim == 4:
        return average_window(
            values, found.time_bins_ms or _regular_bins(manifest, values.shape[3]), manifest.time_window_ms
        )
    return values, manifest.time_window_ms, None


def _regular_bins(manifest: Manifest, number: int) -> tuple[tuple[float, float], ...]:
    if manifest.time_bins_ms is None:
        raise FolderError(
            f"the responses have {count(number, 'time bin')} and nothing says when they are.",
            f"Add to {FILE_NAME}: time_bins_ms = {{ start = 0, width = 10 }}",
        )
    start, width = manifest.time_bins_ms
    return tuple((start + index * width, start + (index + 1) * width) for index in range(number))


def _keep_area(area: str, neuroids: pd.DataFrame, values: np.ndarray):
    """Keep one area's neuroids, where the data name several."""
    kept = (neuroids["area"] == area).to_numpy()
    if kept.all():
        return neuroids, values, []
    if not kept.any():
        for other in neuroids["area"].unique():
            area_name(other, "the neuroids")
        raise FolderError(
            f'{FILE_NAME}: area = "{area}", but the neuroids lie in {few(sorted(set(neuroids["area"])))}.',
            f"Leave area out of {FILE_NAME}, or name one of these.",
        )
    note = Finding("note", f'area = "{area}": {count(int((~kept).sum()), "neuroid")} of other areas left out.')
    return neuroids[kept].reset_index(drop=True), values[kept], [note]


def _exclude(manifest: Manifest, stimuli: pd.DataFrame, neuroids: pd.DataFrame, values: np.ndarray):
    stimuli_kept = _kept(stimuli["stimulus_id"], manifest.exclude_stimuli, "exclude_stimuli")
    values, findings = values[:, stimuli_kept], []
    if manifest.exclude_neuroids == "empty":
        neuroids_kept = ~_is_empty(values)
        gone = count(int((~neuroids_kept).sum()), "neuroid")
        findings = [Finding("note", f'exclude_neuroids = "empty": {gone} of {len(values)} left out.')]
        if not neuroids_kept.any():
            raise FolderError(
                f"{FILE_NAME}: all {len(values)} neuroids are empty.", "See that the right array is read."
            )
    else:
        neuroids_kept = _kept(neuroids["neuroid_id"], manifest.exclude_neuroids, "exclude_neuroids")
    return (
        stimuli[stimuli_kept].reset_index(drop=True),
        neuroids[neuroids_kept].reset_index(drop=True),
        values[neuroids_kept],
        findings,
    )


def _is_empty(values: np.ndarray) -> np.ndarray:
    """Neuroids that never answer, or always alike: voxels outside the brain are NaN or 0."""
    flat = values.reshape(len(values), -1)
    lowest, highest = (np.array([pick(row[~np.isnan(row)], initial=0) for row in flat]) for pick in (np.min, np.max))
    return (lowest == 0) & (highest == 0)


def _kept(ids: pd.Series, excluded: tuple[str, ...], key: str) -> np.ndarray:
    unknown = [name for name in excluded if name not in set(ids)]
    if unknown:
        raise FolderError(
            f"{FILE_NAME}: {key} names '{unknown[0]}', which is not there.",
            "Mend it." + suggest(unknown[0], ids, limit=5),
        )
    kept = ~ids.isin(excluded).to_numpy()
    if len(excluded) and not kept.any():
        raise FolderError(f"{FILE_NAME}: {key} leaves nothing.", "Exclude fewer.")
    return kept


def check_values(values: np.ndarray, neuroids: pd.DataFrame, stimuli: pd.DataFrame) -> None:
    """Refuse responses that no metric can use: infinite, missing for a stimulus, constant.

    Parameters
    ----------
    values : ndarray of shape (n_neuroids, n_stimuli, n_repetitions)
    neuroids, stimuli : DataFrames with `neuroid_id` and `stimulus_id`
    """
    ids, names = neuroids["neuroid_id"].to_numpy(), stimuli["stimulus_id"].to_numpy()
    infinite = np.isinf(values).any(axis=(1, 2))
    if infinite.any():
        raise FolderError(f"infinite responses: neuroids {few(ids[infinite])}.", "Save missing responses as NaN.")
    missing = np.isnan(values).all(axis=2)  # (n_neuroids, n_stimuli)
    _refuse_bad(missing.all(axis=1), ids, "neuroids", "have no responses at all", values)
    _refuse_bad(missing.all(axis=0), names, "stimuli", "have no responses from any neuroid", values)
    _refuse_bad(missing.any(axis=1), ids, "neuroids", "have no response to one or more stimuli", values)
    averages = np.nanmean(values, axis=2)
    _refuse_bad(np.ptp(averages, axis=1) == 0, ids, "neuroids", "give every stimulus the same response", values)


def _refuse_bad(bad: np.ndarray, ids: np.ndarray, key: str, problem: str, values: np.ndarray) -> None:
    if bad.any():
        listed = ", ".join(json.dumps(str(name), ensure_ascii=False) for name in ids[bad])
        every = f"[{listed}]"
        if len(listed) > 500:
            every = '"empty"' if key == "neuroids" and _is_empty(values[bad]).all() else "[…]"
        raise FolderError(
            f"{int(bad.sum())} of {len(bad)} {key} {problem}: {few(named(ids[bad]))}.",
            f"Leave them out: exclude_{key} = {every} in {FILE_NAME}.",
        )
