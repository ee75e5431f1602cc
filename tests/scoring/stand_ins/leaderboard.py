"""The tree of Brain-Score's site, as far as it is public, written as the suite `leaderboard`.

The tree itself lies in the site's database. Public are: each benchmark's ``parent`` (facts.json, read from built
objects), and in the repository brain-score/brain-score.web an export of the leaderboard with all its columns
(``benchmarks/tests/new_leaderboard.csv``) and the leaves that joined it by month until March 2026
(``benchmarks/views/month_benchmark_edges.json``). Both lists together are 99 leaves.
"""

from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path

LEADERBOARD = Path(__file__).parents[3] / "brainscore_submission" / "scoring" / "named_suites" / "leaderboard.toml"
AREAS = ("V1", "V2", "V4", "IT", "behavior")

# The site's leaves: columns of the export, then those of the months 2026-01 to 2026-03.
ON_SITE = (
    "FreemanZiemba2013.V?-pls",
    "Marques2020_*",
    "tong.Coggan2024_*",
    "MajajHong2015.*-pls",
    "Sanghavi*-pls",
    "Bracci2019.anteriorVTC-rdm",
    "Kar2019-ost",
    "Rajalingham2018-i2n",
    "Geirhos2021*-error_consistency",
    "Baker2022*-accuracy_delta",
    "BMD2024.*-accuracy_distance",
    "Ferguson2024*-value_delta",
    "Hebart2023-match",
    "Maniquet2024-*",
    "Gifford2022.IT-ridgecv",
    "Hebart2023_fmri.*-ridgecv",
    "Allen2022_fmri_surface.*",
    "MajajHong2015public.*-reverse_pls",
    "Papale2025.*-ridgecv",
)

# Where the registry's parent is not the site's node. Behaviour is called behavior_vision on the site; the export has
# a node for Ferguson2024, whose leaves name no parent but behaviour, and none for Bracci2019, whose only leaf stands
# under IT itself.
NODES = {"behavior_vision": "behavior", "Geirhos2021": "Geirhos2021-error_consistency", "Bracci2019": "IT"}

# A node of nodes: the export names Marques2020 above seven.
ABOVE = {"V1-": "Marques2020"}

ENGINEERING = "engineering: outside the site's Global Score"
NO_PARENT = "no parent in the registry: outside the site's tree"
NOT_LISTED = (
    "has a parent, but is not among the leaves that the site listed by March 2026; whether it joined is not known"
)

HEAD = """\
# The tree of Brain-Score's leaderboard as of March 2026: 99 leaves under V1, V2, V4, IT and behavior.
# Written by tests/scoring/stand_ins/leaderboard.py; not to be changed by hand.
#
# Parents: `benchmark.parent` of all {n} benchmarks of brainscore-vision {version}, read from built objects on
# {date}. Which of them are leaves, and the nodes that no benchmark names (Marques2020, Ferguson2024,
# Geirhos2021-error_consistency): brain-score/brain-score.web, benchmarks/tests/new_leaderboard.csv and
# benchmarks/views/month_benchmark_edges.json.
#
# Not known, because it lies in the site's database only: what joined after March 2026 (perhaps Li2026, Zerbe2026 and
# Kato2026); whether a leaf of the lists was hidden or taken out since; and whether what joined from January 2026 on has
# a node of its own between area and leaf. It stands directly under the area that it names as parent.
"""


def node_of(identifier: str, facts: dict) -> str:
    """The node that a leaf stands under."""
    if identifier.startswith("Ferguson2024"):
        return "Ferguson2024"
    return NODES.get(facts["parent"], facts["parent"])


def reason_left_out(identifier: str, facts: dict, area: str) -> str | None:
    """Why a benchmark is no leaf of the tree; None for a leaf."""
    if area == "engineering":
        return ENGINEERING
    if facts["parent"] is None:
        return NO_PARENT
    return None if any(fnmatch(identifier, pattern) for pattern in ON_SITE) else NOT_LISTED


def leaderboard(facts: dict[str, dict], area_of: dict[str, str], version: str, date: str) -> str:
    """The text of the suite file."""
    areas, groups, left_out = {area: [] for area in AREAS}, defaultdict(list), defaultdict(list)
    for identifier in sorted(facts):
        area = area_of[identifier]
        reason = reason_left_out(identifier, facts[identifier], area)
        if reason:
            left_out[reason].append(identifier)
            continue
        node = node_of(identifier, facts[identifier])
        if node == area:
            areas[area].append(identifier)
            continue
        groups[node].append(identifier)
        above = next((name for start, name in ABOVE.items() if node.startswith(start)), None)
        for holder, member in [(groups[above], node), (areas[area], above)] if above else [(areas[area], node)]:
            if member not in holder:
                holder.append(member)
    source = f"parents of brainscore-vision {version}, leaves of brain-score.org as of March 2026, read {date}"
    caveat = "Most data is private. What joined Brain-Score's site after March 2026 is not part of this tree."
    return "\n".join(
        [
            HEAD.format(n=len(facts), version=version, date=date),
            'name = "leaderboard"',
            f'caveat = "{caveat}"',
            f'source = "{source}"',
            'average = "scored"',
            *table("areas", areas),
            *table("groups", groups),
            *table("left_out", {reason: left_out[reason] for reason in (ENGINEERING, NO_PARENT, NOT_LISTED)}),
            "",
        ]
    )


def table(title: str, lists: dict[str, list[str]]) -> list[str]:
    """Lines of a TOML table of lists of names."""
    return ["", f"[{title}]", *(line for key, names in lists.items() for line in entry(key, names))]


def entry(key: str, names: list[str]) -> list[str]:
    """Lines of one list."""
    bare = key.replace("-", "").replace("_", "").isalnum()
    return [f"{key if bare else chr(34) + key + chr(34)} = [", *(f'    "{name}",' for name in names), "]"]
