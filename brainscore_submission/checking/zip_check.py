"""Any Brain-Score zip -> a verdict: is it what brain-score.org and the pipeline behind it will take?

The stages follow one another, and a failed one ends the check: the archive, its layout, the registration,
the sources, and then the plugin itself, run by Brain-Score's own code in a fresh process.
"""

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..plugin.errors import UserError
from ..plugin.files import writing_to
from . import running
from .archive import Archive, extract, read_archive
from .dry_run import own_scores_of, weights_of
from .environment import MachineFault, held_versions, interpreter_of, make_environment, wanted_packages
from .layout import FORMAT_OF_2022, LAYOUT_RULES, Plugin, format_of_2022, the_plugin
from .registration import REGISTRATION_RULES, identifiers
from .running import Trial
from .sandbox import Sandbox
from .sources import SOURCE_RULES, declared_modules
from .verdict import Finding, Verdict, any_failed, apply, not_tried
from .wall import HOW_TO, why_no_wall

Progress = Callable[[str], None]
OwnScores = Callable[[Path, str], Mapping[str, float]]

DRY_RUN_TIMES = 4  # Brain-Score's own PLS on a layer of 258,496 features is slow: half an hour and more on two cores

# What no check on this machine can know.
BEYOND = (
    Finding(
        "name-on-site",
        "unchecked",
        "whether identifier and folder name are free on the site (the known models were compared)",
        "Search for the name on brain-score.org before uploading.",
    ),
    Finding(
        "private-benchmarks",
        "unchecked",
        "the scores on private data",
        "Brain-Score computes them after the pull request is merged.",
    ),
)


@dataclass(frozen=True)
class Setup:
    """How plugins are run.

    Parameters
    ----------
    full : run in a fresh environment, and score on the demo suite
    environment : an environment folder to use instead of making one
    constraints : a file of constraints for the fresh environment; default this machine's versions
    own_scores : plugin folder, identifier -> the scores that the dry run must equal; None: nothing to compare with
    timeout : seconds for each process; the dry run has four times as many, making an environment an hour
    network : whether the plugin may use the network from behind the wall
    """

    full: bool = False
    environment: Path | None = None
    constraints: Path | None = None
    own_scores: OwnScores | None = None
    timeout: float = 1800
    progress: Progress | None = None
    network: bool = False

    def say(self, message: str) -> None:
        if self.progress is not None:
            self.progress(message)


def check(
    zip_path: str | Path,
    full: bool = False,
    progress: Progress | None = None,
    *,
    execute: bool = True,
    environment: str | Path | None = None,
    constraints: str | Path | None = None,
    own_scores: OwnScores | None = None,
    timeout: float = 1800,
    network: bool = False,
) -> Verdict:
    """Check a submission zip as the site and Brain-Score's pipeline will.

    The plugin's code is run, as Brain-Score runs it, behind a wall where there is bubblewrap. Where there is none, the
    verdict says so: check zips of people you trust there, or give `execute=False`.

    Parameters
    ----------
    zip_path : any Brain-Score submission, made by this project or not
    full : run in a fresh virtual environment made from the plugin's requirements, and score on the demo suite
    progress : called with one line before each longer step
    execute : False reads only, and runs nothing of the plugin
    environment : folder of an environment to run in, instead of making one
    constraints : file with constraints for the fresh environment; default: the versions on this machine
    own_scores : computes what the dry run must equal; default for packages of this project: `evaluate.py`'s own
    timeout : seconds that each process may take, the dry run four times as many
    network : whether the plugin may use the network from behind the wall; what it can read there it can then send

    Returns
    -------
    Verdict
    """
    path = Path(zip_path)
    named = [None if name is None else Path(name) for name in (environment, constraints)]
    _at_the_door(path, execute, *named)
    setup = Setup(full, *named, own_scores, timeout, progress, network)
    setup.say(f"reading {path.name}")
    archive, findings = read_archive(path)
    if archive is None:
        return _verdict(path, None, (), findings)
    if format_of_2022(archive):
        return _verdict(path, archive, (), [*findings, Finding("format", *FORMAT_OF_2022)])
    findings += apply(LAYOUT_RULES, archive)
    if any_failed(findings):
        return _verdict(path, archive, (), findings)
    plugin = the_plugin(archive)
    found = tuple(dict.fromkeys(identifiers(plugin)))
    findings += apply(REGISTRATION_RULES, plugin) + apply(SOURCE_RULES, plugin)
    if any_failed(findings):
        return _verdict(path, archive, found, findings)
    if not execute:
        message = "nothing of the plugin was run"
        findings.append(Finding("run", "unchecked", message, "Check again, and let it run, before uploading."))
        return _verdict(path, archive, found, findings)
    scores = _run(archive, plugin, found[0], setup, findings)
    return _verdict(path, archive, found, findings, scores)


def _at_the_door(path: Path, execute: bool, environment: Path | None, constraints: Path | None) -> None:
    if not path.is_file():
        raise UserError(f"no file {path}. Build a zip first: brainscore-submission package --model 991 --name <name>")
    for file in (path, constraints):
        if file is not None and not os.access(file, os.R_OK):
            raise UserError(f"{file} cannot be read. Name a file that is there and may be read.")
    if environment is not None:
        interpreter_of(environment)
    if execute:
        _require_test_tools()


def _require_test_tools() -> None:
    for module in ("brainscore_vision", "brainscore_core", "pytest", "pytest_check"):
        if importlib.util.find_spec(module) is None:
            raise UserError(f"check needs Brain-Score's test tools ({module}): pip install 'brainscore-vision[test]'")


def _run(
    archive: Archive, plugin: Plugin, identifier: str, setup: Setup, findings: list[Finding]
) -> dict[str, float] | None:
    """Extract, place and run the plugin; add to the findings, and return the demo scores of a full check."""
    with tempfile.TemporaryDirectory(prefix="brainscore-check-") as folder:
        extracted = Path(folder) / "extracted"
        with writing_to(folder, "TMPDIR"):
            extracted.mkdir()
            extract(archive, extracted)
        source = extracted / plugin.path
        python = _python(plugin, source, setup, findings)
        weights = _weights(source, identifier, setup, findings)
        if python is None or weights is None:
            return None
        walled = why_no_wall() is None
        with writing_to(folder, "TMPDIR"):
            sandbox = Sandbox(Path(folder) / "run", python, wall=walled, network=setup.network, weights=weights)
            court = Sandbox(Path(folder) / "court")
        trial = Trial(sandbox, court, source, identifier, setup.timeout, declared_modules(plugin))
        findings.append(_wall(setup))
        _run_stages(trial, setup, findings)
        if any_failed(findings) or not_tried(findings) or not setup.full:
            return None
        return _dry_run(trial, setup, findings)


def _wall(setup: Setup) -> Finding:
    why = why_no_wall()
    if why is not None:
        return Finding("wall", "unchecked", f"NOT WALLED: {why}; the plugin's code ran with your rights", HOW_TO)
    reach = "with the network, as you asked" if setup.network else "without network"
    return Finding("wall", "ok", f"the plugin's code ran behind a wall (bubblewrap): {reach}, without your files")


def _weights(source: Path, identifier: str, setup: Setup, findings: list[Finding]) -> dict[str, Path] | None:
    """The checkpoint a plugin of this project will ask for; None where it cannot be had."""
    try:
        return weights_of(source, identifier, setup.say)
    except UserError as error:
        findings.append(running.not_fetched(str(error)))
        return None


def _python(plugin: Plugin, source: Path, setup: Setup, findings: list[Finding]) -> Path | None:
    """The interpreter to run the plugin with; None where the environment cannot be made."""
    if setup.environment is not None:
        python = interpreter_of(setup.environment)
        findings.append(Finding("environment", "ok", f"run in the environment {setup.environment}"))
        return python
    if not setup.full:
        remedy = "Check again with --full."
        message = "whether the requirements are enough: it was run in this environment, not in a fresh one"
        findings.append(Finding("environment", "unchecked", message, remedy))
        return Path(sys.executable)
    held = setup.constraints.read_text().splitlines() if setup.constraints else held_versions(plugin)
    setup_py = source if "setup.py" in plugin.files else None
    try:
        python = make_environment(wanted_packages(plugin), held, plugin=setup_py, progress=setup.progress)
    except MachineFault as error:
        remedy = "Check again when that is mended; an environment that is there already is taken by --environment."
        findings.append(Finding("fresh-environment", "unchecked", str(error), remedy))
        return None
    except UserError as error:
        remedy = "Mend requirements.txt, or give --constraints."
        findings.append(Finding("environment", "failed", str(error), remedy))
        return None
    message = "a fresh environment was made from requirements.txt and Brain-Score alone"
    findings.append(Finding("environment", "ok", message))
    return python


STAGES = {
    "Brain-Score's scan finds the plugin": running.scan,
    "loading the model and recording each area": running.load,
    "Brain-Score's generic plugin tests": running.generic_tests,
    "the plugin's own tests": running.own_tests,
}


def _run_stages(trial: Trial, setup: Setup, findings: list[Finding]) -> None:
    """The stages that run the plugin, each only if the one before it passed; without weights none can follow."""
    for what, stage in STAGES.items():
        setup.say(what)
        findings += stage(trial)
        if any_failed(findings) or not_tried(findings):
            return


def _dry_run(trial: Trial, setup: Setup, findings: list[Finding]) -> dict[str, float] | None:
    setup.say("dry run of the leaderboard: scoring the demo suite")
    scores, found = running.dry_run(replace(trial, timeout=DRY_RUN_TIMES * trial.timeout))
    findings += found
    if scores is None:
        return None
    own = setup.own_scores or own_scores_of(trial.source)
    if own is None:
        message = "whether the demo scores equal evaluate.py's: this plugin was not made by this project"
        findings.append(Finding("dry-run-equal", "unchecked", message))
    else:
        setup.say("scoring the same suite with evaluate.py's own code")
        findings.append(running.compare(scores, own(trial.source, trial.identifier)))
    return scores


def _verdict(
    path: Path,
    archive: Archive | None,
    found: tuple[str, ...],
    findings: list[Finding],
    scores: dict[str, float] | None = None,
) -> Verdict:
    everything = (*findings, *BEYOND)
    steps = next_steps(everything, found)
    return Verdict(str(path), archive and archive.sha256, found, everything, steps, scores)


def next_steps(findings: tuple[Finding, ...], found: tuple[str, ...]) -> tuple[str, ...]:
    """What to do after the check, in order, for the site as it is."""
    failures = [finding for finding in findings if finding.status == "failed"]
    if failures:
        count = "the failure" if len(failures) == 1 else f"the {len(failures)} failures"
        return (f"Mend {count} above and check again.", "Do not upload yet: the site counts five uploads a day.")
    if not_tried(findings):
        return (NOT_PROVEN,)
    fuller = [] if not any(f.rule in ("environment", "run") and f.status == "unchecked" for f in findings) else [FULLER]
    return (*fuller, *upload_steps(found[0]))


def upload_steps(identifier: str) -> tuple[str, ...]:
    """From a zip that passed to scores on the site, in order."""
    return tuple(step.format(name=identifier) for step in UPLOAD_STEPS)


NOT_PROVEN = (
    "NOT PROVEN: for want of something here, not through a fault of the zip, the model was not loaded or not tested. "
    "Check again before uploading."
)
FULLER = "Check once more with --full: it proves the requirements and scores the model as the leaderboard does."
UPLOAD_STEPS = (
    "Put the weights on a public address first (the site's large-file upload gives bucket, file and version), and "
    "see that the plugin names exactly that version.",
    "Log in on brain-score.org, open your profile's vision page and upload the zip. An upload counts, of five a "
    "day, even if it is refused.",
    "The site opens a public pull request with your code: from then on it is public.",
    "Watch your mail: it says whether the tests passed. Then the model '{name}' is merged and scored on all "
    "benchmarks; you decide on your profile page whether its scores are shown.",
)
