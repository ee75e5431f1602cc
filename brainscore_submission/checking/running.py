"""What the plugin does when Brain-Score's own code loads and tests it, in fresh processes.

A `Trial` has two sandboxes: one for the plugin, one for the judge that asks it. Each function runs one stage of it and
turns how it ended into findings.
"""

import hashlib
import hmac
import json
import math
import os
import re
import stat
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..plugin.areas import AREAS
from ..plugin.files import writing_to
from ..words import few_quoted, printable
from .processes import Finished
from .sandbox import GENERIC_TESTS, JUDGE, Sandbox
from .verdict import Finding, any_failed

NO_TESTS = 5  # pytest's exit code when it collected nothing; Brain-Score's script lets it pass
FOREIGN_BYTES = 10_000_000  # of a report that the plugin's process writes
LOAD_REMEDY = (
    "Load it yourself as Brain-Score does: brainscore_vision.load_model('{}'). Weights are fetched while loading: "
    "without internet access point the plugin to a local copy."
)
MIRROR_REMEDY = "`BRAINSCORE_SUBMISSION_MIRROR=<folder or web address> brainscore-submission check …` loads it."
# Answers of a source of weights that tell of this machine's connection or of a busy server. Any other (404, 403:
# sources are asked without credentials, as the server will; a wrong hash) is what the server would get as well.
NOT_REACHED = re.compile(r": (?:no connection \(|the connection broke |HF_HUB_OFFLINE |(?:407|408|429|5\d\d)\b)")
OFFLINE_REMEDY = "Check again with a connection; where it runs behind the wall, with --network."
# What the libraries that fetch weights, and the programs plugins call for it, say where there is no connection.
OFFLINE = re.compile(
    r"gaierror|name resolution|Name or service not known|Network is unreachable|No route to host|Connection refused"
    r"|[Uu]nable to resolve host|[Cc]ould ?n.t (?:resolve host|connect to)|ConnectionError|NewConnectionError|URLError"
    r"|Connect(?:ion)?Timeout|MaxRetryError|ProxyError|EndpointConnectionError|LocalEntryNotFoundError"
    r"|OfflineModeIsEnabled|no connection \("
)
NO_MODULE = re.compile(r"No module named '([^'.]+)")


@dataclass
class Trial:
    """One plugin on trial.

    Parameters
    ----------
    sandbox : where the plugin runs
    court : where its judge runs, always with this machine's own interpreter
    source : the extracted plugin folder, named as the plugin; no process of the plugin can write there
    identifier : what it registers
    timeout : seconds for each process
    declared : modules its requirements bring
    """

    sandbox: Sandbox
    court: Sandbox
    source: Path
    identifier: str
    timeout: float
    declared: frozenset[str] = field(default=frozenset())

    def place(self) -> Path:
        """Lay the plugin, as in the zip, into both sandboxes: before each stage, for it may have changed itself."""
        with writing_to(self.sandbox.folder, "TMPDIR"):
            self.court.place(self.source)
            return self.sandbox.place(self.source)

    def judge(self, task: str, asks: bool = True, **facts: Any) -> tuple[Finished, dict[str, Any]]:
        """Run one task of the judge, which `asks` the plugin's process or does without.

        Returns
        -------
        how it ended, and what it reported: nothing where the report is not signed by it
        """
        self.place()
        if asks:
            facts["host"] = self.sandbox.answering(self.identifier)
        report, key = self.court.folder / "out" / f"{task}.json", os.urandom(32)
        given = {"report": str(report), "key": key.hex(), "folder": self.source.name, "identifier": self.identifier}
        command = [sys.executable, str(JUDGE), task]
        ended = self.court.run(command, self.timeout, given=json.dumps(given | facts).encode())
        return ended, signed(report, key)


def signed(path: Path, key: bytes) -> dict[str, Any]:
    signature, _, text = foreign_text(path).partition("\n")
    own = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return json.loads(text) if hmac.compare_digest(signature.encode(), own.encode()) else {}


def foreign_text(path: Path) -> str:
    """What a process of others wrote, where that is an ordinary file of ordinary size; else nothing."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    about = os.fstat(opened)
    if not stat.S_ISREG(about.st_mode) or about.st_size > FOREIGN_BYTES:
        os.close(opened)
        return ""
    with os.fdopen(opened, "rb") as file:
        return file.read(FOREIGN_BYTES).decode("utf-8", errors="replace")


def scan(trial: Trial) -> list[Finding]:
    """Let Brain-Score's parsers and its `ImportPlugin` find the plugin."""
    ended, report = trial.judge("scan", asks=False)
    wanted, folder = [trial.identifier], trial.source.name
    if ended.code != 0 or "located" not in report:
        message = f"Brain-Score cannot find the plugin: {ended.reason}"
        return [Finding("brainscore-scan", "failed", message, "Register it in one literal line of __init__.py.")]
    findings = [
        _equal("brainscore-scan", "Brain-Score's plugin-id scan", report["plugin_ids"], wanted),
        _equal("brainscore-folder", "Brain-Score's ImportPlugin", report["located"], folder),
        _equal("brainscore-changes", "Brain-Score's pull-request scan", report["changed_plugins"], [folder]),
        _equal("brainscore-metadata", "Brain-Score's metadata scan", report["metadata_ids"], wanted, "advice"),
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


def load(trial: Trial) -> list[Finding]:
    """Load the model through the registry on the CPU, and record every area it commits to."""
    ended, report = trial.judge("load")
    why = _why(ended, report)
    if "layer_map" not in report or ended.machine:
        return [_not_loaded(trial, why, ended, report)]
    message = f"load_model('{trial.identifier}') works without GPU and credentials ({report['seconds']:.1f} s)"
    findings = [Finding("loads", "ok", message), *_names(report, trial.identifier)]
    if report["layer_map"] is None:
        return [*findings, _stand_in(trial, report["layers"])]
    return [*findings, *_areas(report, why)]


def _why(ended: Finished, report: Mapping[str, Any]) -> str:
    said = printable(report.get("error", {}).get("said", "")).strip()
    return ended.limit or (" ".join(said.split())[:300] if said else ended.reason)


def _not_loaded(trial: Trial, why: str, ended: Finished, report: Mapping[str, Any]) -> Finding:
    """Why it does not load: through a fault of its own, or for want of what this machine, unlike the server, lacks."""
    message = f"load_model('{trial.identifier}') fails: {why}"
    causes = " ".join(report.get("error", {}).get("causes", []))
    missing = NO_MODULE.search(why)
    if missing and missing[1] in trial.declared:
        message = f"{missing[1]!r} is declared and not installed here, so the model was not loaded"
        return Finding("loads", "unchecked", message, "Check again with --full, which installs what is declared.")
    if ended.machine:
        return Finding("loads", "unchecked", message, "Check again on a machine with more memory.")
    if OFFLINE.search(causes) or OFFLINE.search(ended.output):
        message = f"there was no connection, so the model was not loaded: {why}"
        return Finding("loads", "unchecked", message, OFFLINE_REMEDY)
    return Finding("loads", "failed", message, LOAD_REMEDY.format(trial.identifier))


def not_fetched(said: str) -> Finding:
    """Nobody knows whether a checkpoint loads that cannot be had here; a source that refuses it will do so again.

    Parameters
    ----------
    said : the user error that says what each source answered, one a line
    """
    answers = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    if not answers:
        return Finding("loads", "unchecked", said, "Check again when that is mended.")
    if any(NOT_REACHED.search(answer) for answer in answers):
        message = f"the checkpoint could not be fetched here ({'; '.join(answers)}); nothing wrong was found so far"
        return Finding("loads", "unchecked", message, MIRROR_REMEDY)
    message = f"the checkpoint cannot be fetched: {'; '.join(answers)}"
    return Finding("loads", "failed", message, "Package again with the true place and file: --weights-location.")


def _stand_in(trial: Trial, layers: list[str]) -> Finding:
    """Put a layer map where Brain-Score looks for one, so that it tests the plugin instead of searching layers."""
    message = "which layers the areas get: the server searches them on recordings that are not here"
    if layers:
        chosen = {area: layers[index * (len(layers) - 1) // 3] for index, area in enumerate(AREAS)}
        path = trial.source / "region_layer_map" / f"{trial.identifier}.json"
        with writing_to(trial.source, "TMPDIR"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(chosen))
        message += f"; the tests below run with {', '.join(dict.fromkeys(chosen.values()))}"
    return Finding("areas", "unchecked", message, f"Ship region_layer_map/{trial.identifier}.json to decide them.")


def _names(report: dict[str, Any], identifier: str) -> list[Finding]:
    findings = []
    if report["registered"] not in ([identifier], []):
        message = f"importing the plugin registers {few_quoted(report['registered'])}"
        findings.append(Finding("registers", "failed", message, f"Register {identifier!r} only."))
    if report["identifier"] != identifier:
        message = f"the model calls itself {report['identifier']!r}, and is registered as {identifier!r}"
        findings.append(Finding("own-name", "advice", message, "Give ModelCommitment the registered identifier."))
    return findings


def _areas(report: dict[str, Any], why: str) -> list[Finding]:
    findings = []
    for area in AREAS:  # these are recorded: what else a map holds is no concern of Brain-Score's benchmarks
        layer = report["layer_map"].get(area)
        if layer is None:
            remedy = f"Name a layer for {area}, or it gets no score there."
            findings.append(Finding(f"area-{area}", "advice", f"no layer is named for {area}", remedy))
            continue
        if area not in report:
            return [*findings, _broken(f"area-{area}", f"recording {area} ({layer}) fails", why)]
        recorded = report[area]
        faults = [fault for key, fault in RECORDING_FAULTS.items() if not recorded[key]]
        message = f"{area} from {layer}: {recorded['neuroids']} neuroids" + "".join(f"; {fault}" for fault in faults)
        remedy = "Record another layer." if faults else ""
        findings.append(Finding(f"area-{area}", "advice" if faults else "ok", message, remedy))
    if "behavior" not in report:
        return [*findings, _broken("behavior", "the behavioural readout fails", why)]
    if report["behavior"] is None:
        message = "the model takes no behavioural task"
        return [*findings, Finding("behavior", "advice", message, "Pass behavioral_readout_layer= to ModelCommitment.")]
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


def generic_tests(trial: Trial) -> list[Finding]:
    """Run Brain-Score's generic plugin tests on what the plugin's process answers."""
    junit = trial.court.folder / "out" / "generic.xml"
    options = trial.court.pytest_options(trial.court.library / GENERIC_TESTS, junit)
    options += ["--plugin_directory", str(trial.court.library / "models" / trial.source.name)]
    ended, report = trial.judge("generic_tests", pytest=options, junit=str(junit))
    ended = Finished(report.get("code", ended.code), ended.output, ended.limit, ended.machine)
    findings = [_finding(f"generic-{outcome.test}", outcome, "") for outcome in outcomes(report.get("junit", ""))]
    return findings + _unsaid("generic-tests", "Brain-Score's generic tests", findings, ended)


def own_tests(trial: Trial) -> list[Finding]:
    """Run the plugin's own test.py, as Brain-Score does after the generic tests: how it ends is the plugin's word."""
    report = trial.sandbox.folder / "out" / "own.xml"
    ended = trial.sandbox.pytest(trial.place() / "test.py", report, trial.timeout)
    if ended.code == NO_TESTS:
        message = "test.py has no test that runs without private data"
        return [Finding("own-tests", "advice", message, "Add one that scores or records something.")]
    findings = [_finding(f"own-{outcome.test}", outcome, "test.py: ") for outcome in outcomes(foreign_text(report))]
    if any_failed(findings) and OFFLINE.search(" ".join(finding.message for finding in findings)):
        message = f"the plugin's test.py ended without a connection: {ended.reason}"
        return [Finding("own-tests", "unchecked", message, OFFLINE_REMEDY)]
    return findings + _unsaid("own-tests", "the plugin's test.py", findings, ended)


def dry_run(trial: Trial) -> tuple[dict[str, float] | None, list[Finding]]:
    """Score the plugin on the demo suite through Brain-Score's registry, with Brain-Score's code throughout.

    Returns
    -------
    benchmark id -> score, or None where it did not come to an end; and the findings
    """
    report = trial.sandbox.folder / "out" / "scores.json"
    trial.place()
    ended = trial.sandbox.score(trial.identifier, report, trial.timeout)
    scores = scores_in(foreign_text(report))
    if scores is None or ended.code != 0:
        return None, [_broken("dry-run", f"scoring stops after {len(scores or {})} benchmarks", ended.reason)]
    shown = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    return scores, [Finding("dry-run", "ok", f"SIMULATED scores through the registry: {shown}")]


def scores_in(text: str) -> dict[str, float] | None:
    """What a process wrote, where that is names and finite numbers."""
    try:
        scores = json.loads(text)
    except (ValueError, RecursionError):
        return None
    sound = isinstance(scores, dict) and all(
        isinstance(score, float) and math.isfinite(score) for score in scores.values()
    )
    return scores if sound else None


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


def outcomes(junit: str) -> list[Outcome]:
    """What JUnit XML says of each test, in the order they ran; nothing where it is none."""
    try:
        cases = list(ElementTree.fromstring(junit).iter("testcase"))
    except (ElementTree.ParseError, ValueError):
        return []
    worst: dict[str, Outcome] = {}
    for case in cases:
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


def _unsaid(rule: str, what: str, findings: list[Finding], ended: Finished) -> list[Finding]:
    """What pytest's end says beyond its report: that no test ran at all, or that it failed with none that did."""
    if ended.machine:
        return [Finding(rule, "unchecked", f"{what}: {ended.reason}", "Check again on a machine with more memory.")]
    if not findings:
        return [_broken(rule, f"{what} cannot run", ended.reason)]
    if ended.code in (0, NO_TESTS) or any_failed(findings):
        return []
    how = "" if ended.code is None else f" with exit code {ended.code}"
    return [_broken(rule, f"{what} breaks off{how}, though no test fails", ended.reason)]


def _broken(rule: str, what: str, why: str) -> Finding:
    return Finding(rule, "failed", f"{what}: {why}", "Mend what the last line names.")
