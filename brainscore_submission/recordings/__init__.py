"""A lab's own recordings as a benchmark: a folder of images and responses, read and checked.

The folder is described in docs/tutorial_recordings.md. Evaluating models on it is the work of `scoring`.
"""

from .benchmark import benchmarks, recordings_suite
from .checking import CheckReport, check
from .draft import Draft, write_draft
from .findings import Finding, FolderError
from .metrics import METRICS
from .reading import Recordings, read_recordings
from .report import render

__all__ = [
    "METRICS",
    "CheckReport",
    "Draft",
    "Finding",
    "FolderError",
    "Recordings",
    "benchmarks",
    "check",
    "read_recordings",
    "recordings_suite",
    "render",
    "write_draft",
]
