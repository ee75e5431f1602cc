"""Writes the table of benchmarks and the suite `leaderboard` that the product ships, from what running them found.

python tests/scoring/stand_ins/shipped.py
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from stand_ins.leaderboard import LEADERBOARD, leaderboard

# Of the Brain-Score that facts.json was written with.
VERSION, DATE = "2.4.2", "2026-11-27"
FACTS = Path(__file__).with_name("facts.json")
SHIPPED = Path(__file__).parents[3] / "brainscore_submission" / "scoring" / "benchmarks.json"
AREAS = ("V1", "V2", "V4", "IT")


def row(facts: dict) -> dict:
    """What the product knows of a benchmark before it is built."""
    return {
        "package": facts["package"],
        "area": area(facts),
        "task": facts["tasks"][0] if facts.get("tasks") else "recording",
        "metric": metric(facts),
        "formula": formula(facts),
        "calls": max(1, len(facts.get("activation_calls", []))),
    }


def area(facts: dict) -> str:
    """The area recorded from; else behaviour or, where no brain or behaviour is compared with, engineering."""
    region = facts.get("region") or (facts["parent"] if facts.get("parent") in AREAS else None)
    if region in AREAS:
        return region
    if facts.get("ceiling") is None or facts["class"].endswith("EngineeringAccuracy"):
        return "engineering"
    recorded = facts.get("recorded_regions")
    return recorded[0] if recorded else "behavior"


def metric(facts: dict) -> str:
    """The classes of metric and regression, in the words of their authors."""
    if facts["class"].rsplit(".", 1)[-1] in NAMES:
        return NAMES[facts["class"].rsplit(".", 1)[-1]]
    found = [one for one in (facts.get("metric") or {}).values() if isinstance(one, dict)]
    if not found:
        return facts["class"].rsplit(".", 1)[-1].lstrip("_")
    regression = (found[0].get("regression") or {}).get("_regression") or {}
    return NAMES.get(regression.get("class")) or NAMES.get(found[0]["class"], found[0]["class"])


NAMES = {
    "PLSRegression": "PLS predictivity",
    "Ridge": "ridge predictivity",
    "RidgeCV": "ridge-CV predictivity",
    "DualRidgeRegression": "dual ridge predictivity",
    "DualRidgeCVRegression": "dual ridge-CV predictivity",
    "MaskRegression": "mask regression",
    "XarrayRegression": "PLS predictivity over time",
    "RDMSimilarity": "RDM similarity",
    "RDMMetric": "RDM similarity",
    "CKA": "CKA",
    "BootstrapDistributionSimilarity": "Kolmogorov-Smirnov similarity",
    "Accuracy": "accuracy",
    "AccuracyDistance": "accuracy distance",
    "KatoAccuracyDistance": "accuracy distance",
    "ErrorConsistency": "error consistency",
    "KatoErrorConsistency": "error consistency",
    "ValueDelta": "value delta",
    "ThresholdElevation": "threshold elevation",
    "Threshold": "threshold",
    "Dimensionality": "dimensionality",
    "BakerAccuracyDelta": "accuracy delta",
    "_I": "i2n",
    "OSTCorrelation": "object solution times",
    "ConfusionSimilarity": "confusion similarity",
    "TasksConsistency": "tasks consistency",
    "Imagenet_C_Category": "accuracy",
    "Coggan2024_fMRI_Benchmark": "similarity of condition matrices",
    "Coggan2024_behavior_ConditionWiseAccuracySimilarity": "similarity of accuracies by condition",
    "Hebart2023Match": "odd one out",
    "Hermann2020cueconflictShapeBias": "shape bias",
    "OOD_AnalysisBenchmark": "accuracy out of distribution",
}


def formula(facts: dict) -> str | None:
    """Of the score, as found on the object; None where there is no ceiling, or the formula is the class's own."""
    found = facts.get("formula") or {}
    for kind in ("whole", "elementwise"):
        if found.get(kind) and facts.get("ceiling") is not None:
            names = [name.removesuffix(" clipped to [0, 1]") for name in found[kind]]
            return "r/c" if "r/c" in names else names[0]
    for parts in found.values():
        if isinstance(parts, dict) and parts.get("mean of"):
            return next(iter(parts["mean of"]))
    return None


def table(facts: dict[str, dict]) -> dict[str, dict]:
    """Benchmark id -> row, in alphabetical order."""
    return {identifier: row(one) for identifier, one in facts.items()}


def suite(facts: dict[str, dict]) -> str:
    """The text of the suite `leaderboard`."""
    return leaderboard(facts, {name: one["area"] for name, one in table(facts).items()}, VERSION, DATE)


if __name__ == "__main__":
    found = json.loads(FACTS.read_text())
    LEADERBOARD.write_text(suite(found))
    shipped = table(found)
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(shipped[name])}" for name in sorted(shipped))
    SHIPPED.write_text("{\n" + lines + "\n}\n")
