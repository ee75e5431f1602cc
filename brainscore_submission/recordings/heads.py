"""What columns of tables, coordinates and vectors are called: our name, and theirs."""

from collections.abc import Iterable, Mapping

from ..plugin.errors import suggest
from .findings import FolderError, named

FIELDS = {
    # `image_id` is Brain-Score's name of 2019
    "stimulus": (
        *("stimulus_id", "image_id", "stimulus", "image", "image_name", "image_names", "stimulus_name"),
        *("stimulus_names", "stimulus_ids", "image_ids", "stimuli", "images", "filenames", "file_names"),
    ),
    "stimulus_index": (
        *("istim", "istimulus", "iimage", "stim_index", "stimulus_index", "image_index"),
        *("stim_idx", "stimulus_idx", "image_idx", "stimulus_number", "image_number"),
    ),
    "file": ("file", "file_name", "filename", "image_file_name", "image_current_relative_file_path"),
    "object_name": ("object_name", "object", "image_label"),
    "neuroid": ("neuroid_id", "neuroid", "neuron", "unit", "neuron_id", "unit_id", "channel", "voxel", "neuroid_ids"),
    "area": ("region", "area"),
    "subject": ("animal", "subject", "monkey", "subject_id"),
    "session": ("session", "session_id", "day", "date", "recording"),
    "condition": ("condition", "cond", "task", "attention", "laser", "block_type"),
    "repetition": ("repetition", "rep", "repeat", "trial", "presentation"),
    "time_bin": ("time_bin", "bin", "time", "time_ms"),
    "time_bin_start": ("time_bin_start",),
    "time_bin_end": ("time_bin_end",),
    "response": ("response",),
    "ceiling_r": ("noise_ceiling_r",),
    "ceiling_r2": ("noise_ceiling_r2",),
    "sample_object": ("sample_object", "sample_obj"),
    "distractor": ("distractor", "dist_obj"),
    "choice": ("choice",),
}


def find_heads(given: Iterable[str], wanted: Iterable[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Find the columns that say something.

    Parameters
    ----------
    given : the columns there are
    wanted : keys of `FIELDS`
    mapping : our name -> theirs, where recordings.toml says so

    Returns
    -------
    dict from those of `wanted` that are there to the column's own name

    Examples
    --------
    >>> find_heads(["picture", "Unit", "spikes"], ["stimulus", "neuroid", "response"], {"stimulus": "picture"})
    {'stimulus': 'picture', 'neuroid': 'Unit'}
    """
    given = list(given)
    unknown = [name for name in mapping if name not in FIELDS]
    if unknown:
        raise FolderError(f"columns: '{unknown[0]}' is no name of ours.", suggest(unknown[0], FIELDS).strip())
    known = {name.casefold().rsplit(".", 1)[-1]: name for name in reversed(given)}  # of a struct's fields too
    known |= {name.casefold(): name for name in reversed(given)}
    taken = set(mapping.values())
    found = {}
    for field in wanted:
        if mapping.get(field) in given:
            found[field] = mapping[field]
            continue
        names = [known[name] for name in FIELDS[field] if name in known and known[name] not in taken]
        if names:
            found[field] = names[0]
    return found


def lacking(where: str, given: Iterable[str], missing: str, wanted: str) -> FolderError:
    """The error for a table without a column: what it has, what it needs, and the line that maps one to the other."""
    given = named(given)
    return FolderError(
        f"{where} has no column {missing}; its columns are {', '.join(given[:20])}{', …' * (len(given) > 20)}.",
        f'Needed: {wanted}. Rename the columns, or add to recordings.toml: columns = {{ {missing} = "<yours>" }}',
    )
