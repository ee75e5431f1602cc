"""Synthetic stand-ins for the stored data of every registered Brain-Score benchmark.

A stand-in replaces stored data only: what `brainscore_vision.load_dataset` and `load_stimulus_set` would fetch, the
table of ImageNet's pictures inside the package, and the table of train and test pictures of LAION-fMRI. Loaders,
filters, ceilings and metrics are Brain-Score's own. One file for each family of benchmark packages.
"""

import contextlib
import functools
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import brainscore_vision

from . import electrophysiology, labels, magnetic_resonance, properties, psychophysics

FAMILIES = (labels, electrophysiology, magnetic_resonance, properties, psychophysics)


class Registry(dict):
    """Brain-Score's registry, answering with stand-ins; an id without one is refused, so nothing is ever fetched."""

    def __init__(self, original, builders, folder):
        super().__init__(original)
        self.original, self.builders, self.folder = original, builders, folder

    def __setitem__(self, identifier, load):
        """What a data package registers while stand-ins are installed belongs to Brain-Score's own registry."""
        self.original[identifier] = load

    def __getitem__(self, identifier):
        if identifier not in self.builders:
            raise LookupError(f"no stand-in for the data set {identifier!r}")
        return lambda: fresh(built(self.builders[identifier], self.folder))


@functools.cache
def built(builder, folder: Path):
    return builder(folder)


def fresh(data):
    """A copy that a benchmark may change, as each load from disk gives one."""
    copied = data.copy(deep=True)
    if hasattr(data, "stimulus_paths"):
        copied.stimulus_paths, copied.identifier = dict(data.stimulus_paths), data.identifier
        return copied
    copied.attrs = dict(data.attrs)
    if "stimulus_set" in data.attrs:
        copied.attrs["stimulus_set"] = fresh(data.attrs["stimulus_set"])
    return copied


@functools.cache
def tables() -> tuple[dict, dict]:
    """All data sets and all stimulus sets: identifier to the function that builds it, given a folder."""
    datasets, stimulus_sets = {}, {}
    for family in FAMILIES:
        datasets |= family.datasets()
        stimulus_sets |= family.stimulus_sets()
    return datasets, stimulus_sets


@contextlib.contextmanager
def installed(folder: Path):
    """While inside, Brain-Score loads stand-ins; their pictures are written below this folder, once."""
    import brainscore_vision.benchmarks.imagenet.benchmark as imagenet

    datasets, stimulus_sets = tables()
    kept = brainscore_vision.data_registry, brainscore_vision.stimulus_set_registry, imagenet.pd
    brainscore_vision.data_registry = Registry(kept[0], datasets, folder)
    brainscore_vision.stimulus_set_registry = Registry(kept[1], stimulus_sets, folder)
    imagenet.pd = SimpleNamespace(read_csv=lambda _path: labels.imagenet_table(folder))
    package, splits = ModuleType("laion_fmri"), ModuleType("laion_fmri.splits")
    splits.get_split_masks = package.splits = magnetic_resonance.split_masks
    modules = {"laion_fmri": package, "laion_fmri.splits": splits}
    kept_modules = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in kept_modules.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
        brainscore_vision.data_registry, brainscore_vision.stimulus_set_registry, imagenet.pd = kept
