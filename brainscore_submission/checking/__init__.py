"""Is a submission zip what brain-score.org and the pipeline behind it will take? Nothing happens at import."""

from .dry_run import dry_run
from .verdict import Finding, Verdict
from .zip_check import check

__all__ = ["Finding", "Verdict", "check", "dry_run"]
