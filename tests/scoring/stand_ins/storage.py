"""The data of the public suite as Brain-Score stores it: netCDF, CSV and zip, made by Brain-Score's own packaging."""

from dataclasses import dataclass
from pathlib import Path

from brainscore_core.supported_data_standards.brainio import packaging

from . import electrophysiology, psychophysics

FOLDER = "brainio-brainscore"
# Identifier of the assembly, of its stimulus set, and what makes them.
STORED = (
    ("movshon.FreemanZiemba2013.public", "FreemanZiemba2013.aperture-public", electrophysiology.freemanziemba),
    ("dicarlo.MajajHong2015.public", "hvm-public", electrophysiology.majajhong),
    ("dicarlo.Rajalingham2018.public", "objectome.public", psychophysics.rajalingham),
)


@dataclass(frozen=True)
class Stored:
    """A file in the storage.

    Parameters
    ----------
    identifier : of the assembly or stimulus set, with the kind of file: "hvm-public.zip"
    path : where it lies here
    sha1 : as the packaging gives it
    """

    identifier: str
    path: Path
    sha1: str

    @property
    def key(self) -> str:
        return f"{FOLDER}/{self.path.name}"


def packaged(folder: Path) -> list[Stored]:
    """The nine files of the public suite, written below this folder."""
    files = []
    for assembly_identifier, stimuli_identifier, make in STORED:
        assembly = make(folder, "public")
        files += _packaged_stimuli(assembly.attrs["stimulus_set"], stimuli_identifier, folder)
        files.append(_packaged_assembly(assembly, assembly_identifier, folder))
    return files


def _packaged_stimuli(stimuli, identifier: str, folder: Path) -> list[Stored]:
    name = f"stimulus_{identifier.replace('.', '_')}"
    zipped, table = folder / f"{name}.zip", folder / f"{name}.csv"
    zip_sha1, stimuli["filename"] = packaging.create_stimulus_zip(stimuli, str(zipped))
    csv_sha1 = packaging.create_stimulus_csv(stimuli, str(table))
    return [Stored(f"{identifier}.csv", table, csv_sha1), Stored(f"{identifier}.zip", zipped, zip_sha1)]


def _packaged_assembly(assembly, identifier: str, folder: Path) -> Stored:
    """Columns of the stimulus set are left out: Brain-Score merges them in by ``stimulus_id`` when it loads."""
    merged = set(assembly.attrs["stimulus_set"].columns) - {"stimulus_id"}
    kinds = [name for name in merged if name in assembly.coords]
    path = folder / f"assy_{identifier.replace('.', '_')}.nc"
    bare = assembly.reset_index("presentation").drop_vars(kinds)
    return Stored(f"{identifier}.nc", path, packaging.write_netcdf(bare, path))
