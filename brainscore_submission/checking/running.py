"""What the plugin does when Brain-Score's own code loads and tests it, in a fresh process.

Each function runs one process in a `Sandbox` and turns how it ended into findings.
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..plugin.areas import AREAS
from ..words import few_quoted
from .processes import Finished
from .sandbox import GENERIC_TESTS, Sandbox
from .verdict import Finding, any_failed

NO_TESTS = 5  # pytest's exit code when it collected nothing; Brain-Score's script lets it pass
LOAD_REMEDY = (
    "Load it yourself as Brain-Score does: brainscore_vision.load_model('{}'). Weights are fetched while loading: "
    "without internet access point the plugin to a local copy."
)
MIRROR_REMEDY = "`BRAINSCORE_SUBMISSION_MIRROR=<folder or web address> brainscore-submission check …` loads it."
# How a package of this project says that its weights did not come, and what each source answered.
NOT_FETCHED = re.compile(
    r"^brainscore_vision\.models\.\S+\.errors\.UserError: cannot fetch .+ Tried:((?:\n  .+)+)", re.MULTILINE
)
# Answers that tell of this machine's connection or of a busy server. Any other (404, 403: sources are asked without
# credentials, as the server will; a wrong hash) is what the server would get as well.
NOT_REACHED = re.compile(r": (?:no connection \(|the connection broke |HF_HUB_OFFLINE |(?:407|408|429|5\d\d)\b)")


def scan(sandbox: Sandbox, placed: Path, identifier: str, timeout: float) -> list[Finding]:
    """Let Brain-Score's parsers and its `ImportPlugin` find the plugin."""
    ended, report = _work(sandbox, "scan", placed.name, identifier, timeout)
    if ended.code != 0:
        message = f"Brain-Score cannot find the plugin: {_why(ended, timeout)}"
        return [Finding("brainscore-scan", "failed", message, "Register it in one literal line of __init__.py.")]
    findings = [
        _equal("brainscore-scan", "Brain-Score's plugin-id scan", report["plugin_ids"], [identifier]),
        _equal("brainscore-folder", "Brain-Score's ImportPlugin", report["located"], placed.name),
        _equal("brainscore-changes", "Brain-Score's pull-request scan", report["changed_plugins"], [placed.name]),
        _equal("brainscore-metadata", "Brain-Score's metadata scan", report["metadata_ids"], [identifier], "advice"),
    ]
    if not report["automergeable"]:
        message = "the pull request would touch more than the plugin and wait for a person"
        findings.append(Finding("automerge", "failed", message, "Keep every file inside the plugin folder."))
    return findings


def _equal(rule: str, who: str, found: Any, wanted: Any, otherwise: str = "failed") -> Finding:
    if found == wanted:
        return Finding(rule, "ok", f"{who} finds {wanted!r}")
    remedy = "Write one line: model_registry['<identifier>'] = lambda: …"
    return Finding(rule, otherwise, f"{who} finds {found!r} instead of {wanted!r}", remedy)


def load(sandbox: Sandbox, placed: Path, identifier: str, timeout: float) -> list[Finding]:
    """Load the model through the registry on the CPU, and record every area it commits to."""
    ended, report = _work(sandbox, "load", placed.name, identifier, timeout)
    if "loaded" not in report:
        answers = _fetching_answers(ended)
        if answers:
            return [_not_fetched(answers)]
        message = f"load_model('{identifier}') fails: {_why(ended, timeout)}"
        return [Finding("loads", "failed", message, LOAD_REMEDY.format(identifier))]
    loaded = report["loaded"]
    message = f"load_model('{identifier}') works without GPU and credentials ({loaded['seconds']:.1f} s)"
    findings = [Finding("loads", "ok", message), *_names(report, identifier)]
    if "layer_map" not in report:
        return [*findings, _broken("layer-names", "the model breaks after loading", ended, timeout)]
    if report["layer_map"] is None:
        return [*findings, _stand_in(placed, identifier, report["layers"])]
    return [*findings, *_areas(report, ended, timeout)]


def _fetching_answers(ended: Finished) -> list[str]:
    """What the sources of a checkpoint answered, where its not coming is what ended the process."""
    said = NOT_FETCHED.search(ended.last_error)
    return [line.strip() for line in said[1].splitlines() if line.strip()] if said else []


def _not_fetched(answers: list[str]) -> Finding:
    """Nobody knows whether a checkpoint loads that cannot be had here; a source that refuses it will do so again."""
    if any(NOT_REACHED.search(answer) for answer in answers):
        message = f"the checkpoint could not be fetched here ({'; '.join(answers)}); nothing wrong was found so far"
        return Finding("loads", "unchecked", message, MIRROR_REMEDY)
    message = f"the checkpoint cannot be fetched: {'; '.join(answers)}"
    return Finding("loads", "failed", message, "Package again with the true place and file: --weights-location.")


def _stand_in(placed: Path, identifier: str, layers: list[str] | None) -> Finding:
    """Put a layer map where Brain-Score looks for one, so that it tests the plugin instead of searching layers."""
    message = "which layers the areas get: the server searches them on recordings that are not here"
    if layers:
        chosen = {area: layers[index * (len(layers) - 1) // 3] for index, area in enumerate(AREAS)}
        path = placed / "region_layer_map" / f"{identifier}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(chosen))
        message += f"; the tests below run with {', '.join(dict.fromkeys(chosen.values()))}"
    return Finding("areas", "unchecked", message, f"Ship region_layer_map/{identifier}.json to decide them yourself.")


def _names(report: dict[str, Any], identifier: str) -> list[Finding]:
    findings = []
    registered, own = report.get("registered"), report["loaded"]["identifier"]
    if registered is not None and registered not in ([identifier], []):
        message = f"importing the plugin registers {few_quoted(registered)}"
        findings.append(Finding("registers", "failed", message, f"Register {identifier!r} only."))
    if own != identifier:
        message = f"the model calls itself {own!r}, and is registered as {identifier!r}"
        findings.append(Finding("own-name", "advice", message, "Give ModelCommitment the registered identifier."))
    return findings


def _areas(report: dict[str, Any], ended: Finished, timeout: float) -> list[Finding]:
    findings = []
    for area in AREAS:  # these are recorded: what else a map holds is no concern of Brain-Score's benchmarks
        layer = report["layer_map"].get(area, "no layer")
        if area not in report:
            return [*findings, _broken(f"area-{area}", f"recording {area} ({layer}) fails", ended, timeout)]
        recorded = report[area]
        faults = [fault for key, fault in RECORDING_FAULTS.items() if not recorded[key]]
        message = f"{area} from {layer}: {recorded['neuroids']} neuroids" + "".join(f"; {fault}" for fault in faults)
        remedy = "Record another layer." if faults else ""
        findings.append(Finding(f"area-{area}", "failed" if faults else "ok", message, remedy))
    if "behavior" not in report:
        return [*findings, _broken("behavior", "the behavioural readout fails", ended, timeout)]
    low, high, finite = (report["behavior"][key] for key in ("lowest", "highest", "finite"))
    good = finite and low >= 0 and high <= 1
    message = f"behavioural probabilities lie in [{low:.3f}, {high:.3f}]"
    remedy = "" if good else "Probabilities have to lie in [0, 1]: check behavioral_readout_layer."
    return [*findings, Finding("behavior", "ok" if good else "failed", message, remedy)]


RECORDING_FAULTS = {
    "unique": "neuroid ids repeat",
    "finite": "some values are not finite",
    "varies": "all images give the same values",
}


def generic_tests(sandbox: Sandbox, placed: Path, timeout: float) -> list[Finding]:
    """Run Brain-Score's generic plugin tests on the plugin."""
    report = sandbox.folder / "generic.xml"
    target = sandbox.library / GENERIC_TESTS
    ended = sandbox.pytest(target, report, timeout, "--plugin_directory", str(placed))
    findings = [_finding(f"generic-{outcome.test}", outcome, "") for outcome in _outcomes(report)]
    return findings + _unsaid("generic-tests", "Brain-Score's generic tests", findings, ended, timeout)


def own_tests(sandbox: Sandbox, placed: Path, timeout: float) -> list[Finding]:
    """Run the plugin's own test.py, as Brain-Score does after the generic tests."""
    report = sandbox.folder / "own.xml"
    ended = sandbox.pytest(placed / "test.py", report, timeout)
    if ended.code == NO_TESTS:
        message = "test.py has no test that runs without private data"
        return [Finding("own-tests", "advice", message, "Add one that scores or records something.")]
    findings = [_finding(f"own-{outcome.test}", outcome, "test.py: ") for outcome in _outcomes(report)]
    return findings + _unsaid("own-tests", "the plugin's test.py", findings, ended, timeout)


def dry_run(
    sandbox: Sandbox, placed: Path, identifier: str, timeout: float
) -> tuple[dict[str, float] | None, list[Finding]]:
    """Score the placed plugin on the demo suite through Brain-Score's registry, with Brain-Score's code throughout.

    Returns
    -------
    benchmark id -> score, or None where it did not come to an end; and the findings
    """
    ended, scores = _work(sandbox, "score", placed.name, identifier, timeout)
    if ended.code != 0:
        return None, [_broken("dry-run", f"scoring stops after {len(scores)} benchmarks", ended, timeout)]
    shown = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    return scores, [Finding("dry-run", "ok", f"SIMULATED scores through the registry: {shown}")]


def compare(scores: Mapping[str, float], own: Mapping[str, float]) -> Finding:
    """Whether the dry run gives evaluate.py's numbers to the last digit."""
    rule = "dry-run-equal"
    if scores.keys() != own.keys():
        message = f"the dry run scored {few_quoted(sorted(scores))}, evaluate.py {few_quoted(sorted(own))}"
        return Finding(rule, "failed", message, "Run both with the same version of this project.")
    apart = [name for name in scores if scores[name] != own[name]]
    if apart:
        worst = max(apart, key=lambda name: abs(scores[name] - own[name]))
        message = f"{worst}: the plugin scores {scores[worst]!r}, evaluate.py {own[worst]!r}"
        return Finding(rule, "failed", message, "Package the model again: weights, layers or versions differ.")
    return Finding(rule, "ok", f"{len(scores)} demo scores equal evaluate.py's to the last digit")


@dataclass(frozen=True)
class Outcome:
    """How a test ended: a parametrized one, or one of the same name in several classes, as its worst case.

    Parameters
    ----------
    test : its name without parameters
    case : the name of the case that decided, with its parameters
    ending : one of `ENDINGS`
    why : the first line of the fault, or why it was skipped
    """

    test: str
    case: str
    ending: str
    why: str = ""


ENDINGS = ("skipped", "passed", "failed")  # of several cases the last in this order counts, and of these the first


def _outcomes(report: Path) -> list[Outcome]:
    """What JUnit XML says of each test, in the order they ran."""
    if not report.is_file():
        return []
    worst: dict[str, Outcome] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = _outcome(case)
        known = worst.setdefault(outcome.test, outcome)
        if ENDINGS.index(outcome.ending) > ENDINGS.index(known.ending):
            worst[outcome.test] = outcome
    return list(worst.values())


def _outcome(case: ElementTree.Element) -> Outcome:
    name = case.get("name", "")
    test = name.split("[")[0]
    for kind, ending in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        said = case.find(kind)
        if said is not None:
            lines = said.get("message", "").splitlines() or [kind]
            return Outcome(test, name, ending, lines[0][:300])
    return Outcome(test, name, "passed")


def _finding(rule: str, outcome: Outcome, where: str) -> Finding:
    if outcome.ending == "passed":
        return Finding(rule, "ok", f"{where}{outcome.test} passes")
    if outcome.ending == "skipped":
        message = f"{where}{outcome.test} is skipped, and proves nothing: {outcome.why}"
        return Finding(rule, "advice", message, "Let it run on a CPU without private data.")
    message = f"{where}{outcome.case} fails: {outcome.why}"
    return Finding(rule, "failed", message, "Run it with pytest -vv to see where.")


def _unsaid(rule: str, what: str, findings: list[Finding], ended: Finished, timeout: float) -> list[Finding]:
    """What pytest's end says beyond its report: that no test ran at all, or that it failed with none that did."""
    if not findings:
        return [_broken(rule, f"{what} cannot run", ended, timeout)]
    if ended.code in (0, NO_TESTS) or any_failed(findings):
        return []
    how = "" if ended.code is None else f" with exit code {ended.code}"
    return [_broken(rule, f"{what} breaks off{how}, though no test fails", ended, timeout)]


def _work(sandbox: Sandbox, task: str, folder: str, identifier: str, timeout: float) -> tuple[Finished, dict]:
    path = sandbox.folder / f"{task}.json"
    ended = sandbox.work(task, path, folder, identifier, timeout)
    return ended, json.loads(path.read_text()) if path.is_file() else {}


def _broken(rule: str, what: str, ended: Finished, timeout: float) -> Finding:
    return Finding(rule, "failed", f"{what}: {_why(ended, timeout)}", "Mend what the last line names.")


def _why(ended: Finished, timeout: float) -> str:
    return f"not done after {timeout:.0f} s" if ended.code is None else ended.reason
