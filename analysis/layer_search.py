"""Find which layer of a network fits which brain area, with plots: `python -m analysis.layer_search --model 991`.

The search and its command are in the package; here its plots are drawn, from the table it has written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from brainscore_submission.cli.front_end import run
from brainscore_submission.cli.search import SEARCH_HELP, search_command

if TYPE_CHECKING:
    from brainscore_submission.layer_search.search import SearchResult

HELP = SEARCH_HELP.replace("brainscore-submission search", "python -m analysis.layer_search")


def draw(result: SearchResult, table: Path, committed: Mapping[str, str]) -> list[Path]:
    """Draw heat map and profiles beside the search's table, as SVG and PNG; `committed` layers of areas are marked."""
    from . import layer_plots
    from .figures import save

    search, of_areas = layer_plots.read_search(table), table.stem.removeprefix("table")
    names = {area: result.survey.same_as.get(layer, layer) for area, layer in committed.items()}
    return [
        *save(layer_plots.heat_map(search, names), table.parent, f"heat_map{of_areas}", "--results"),
        *save(layer_plots.profiles(search, names), table.parent, f"profiles{of_areas}", "--results"),
    ]


if __name__ == "__main__":
    run(search_command(draw), HELP)
