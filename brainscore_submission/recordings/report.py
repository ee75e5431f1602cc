"""The check report on a terminal."""

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from ..words.tables import Rows
from .checking import CheckReport
from .findings import shown

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
BIN_EDGES = np.round(np.arange(0, 1.01, 0.1), 1)
WIDTH = 40  # characters of the longest bar


def render(report: CheckReport, console: Console) -> None:
    """Print a check report.

    Parameters
    ----------
    report : CheckReport
    console : rich Console
    """
    if report.understood:
        console.print(_facts(report))
    for area, ceiling in report.ceilings.items():
        _print_area(report, area, ceiling, console)
    for finding in report.findings:
        style = STYLES[finding.severity]
        console.print(f"[{style}]{finding.severity}[/]: {escape(finding.message)}", highlight=False)
        if finding.remedy:
            console.print(f"    {escape(finding.remedy)}", highlight=False)
    if report.expected_seconds is not None:
        console.print(
            f"expected time: about {_duration(report.expected_seconds)} to record CrossViT-18 on two CPU cores",
            highlight=False,
        )
    verdict = "can be scored" if report.ok else "cannot be scored yet: mend the error and check again"
    console.print(f"{escape(str(report.folder))}: {verdict}", style="bold", highlight=False)


def _facts(report: CheckReport) -> Rows:
    cells = [(Text(label, style="bold"), shown(value)) for label, value in report.understood.items()]
    return Rows(("understood", "as"), cells, prose=("as",))


def _print_area(report: CheckReport, area: str, ceiling: float | None, console: Console) -> None:
    if ceiling is None:
        console.print(f"{area}: no ceiling, scores will be raw", highlight=False)
        return
    reliability = report.neuroids.loc[report.neuroids["area"] == area, "reliability"].astype(float)
    median = "" if reliability.empty else f"; reliability of the neuroids, median {reliability.median():.3f}:"
    console.print(f"{area}: ceiling {ceiling:.3f}{median}", highlight=False)
    for label, number, bar in histogram(reliability):
        console.print(f"  {label:>9} {bar:<{WIDTH}} {number}", highlight=False)


def histogram(reliability: pd.Series) -> list[tuple[str, int, str]]:
    """Count neuroids by reliability, in steps of a tenth.

    Parameters
    ----------
    reliability : Series of shape (n_neuroids,); NaN is not counted

    Returns
    -------
    list of (label, number, bar), empty where nothing can be counted

    Examples
    --------
    >>> [(label, number) for label, number, _ in histogram(pd.Series([-0.2, 0.05, 0.95])) if number]
    [('below 0', 1), ('0.0-0.1', 1), ('0.9-1.0', 1)]
    """
    values = reliability.dropna().to_numpy()
    if not len(values):
        return []
    numbers = [int((values < 0).sum()), *np.histogram(values[values >= 0], BIN_EDGES)[0].tolist()]
    labels = ["below 0", *(f"{low:.1f}-{high:.1f}" for low, high in zip(BIN_EDGES, BIN_EDGES[1:], strict=False))]
    longest = max(numbers)
    return [
        (label, number, "█" * round(WIDTH * number / longest)) for label, number in zip(labels, numbers, strict=True)
    ]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
