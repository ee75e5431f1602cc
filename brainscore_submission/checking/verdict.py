"""What a check found: one finding per rule, and the verdict they add up to.

Data and its sums only; the rules are in `archive`, `layout`, `registration`, `sources` and `running`.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

STATUSES = {
    "ok": "the rule holds",
    "failed": "the site's upload code refuses it, Brain-Score's own code cannot run it, or it is not safe to unpack",
    "advice": "not refused, but worth mending",
    "unchecked": "could not be checked here",
}


@dataclass(frozen=True)
class Finding:
    """What one rule says of one zip.

    Parameters
    ----------
    rule : the rule's id, such as "one-root"
    status : one of `STATUSES`
    message : one line, what was found
    remedy : one line, what to do; empty where nothing is to be done
    """

    rule: str
    status: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Verdict:
    """All findings on one zip, in the order the rules were tried.

    A rule that fails in an early stage (is it an archive, is it laid out right) keeps the later stages,
    which would run its code, from being tried at all: they are then missing from the findings.
    """

    zip: str
    sha256: str | None
    identifiers: tuple[str, ...]
    findings: tuple[Finding, ...]
    next_steps: tuple[str, ...] = ()
    demo_scores: dict[str, float] | None = None

    @property
    def passed(self) -> bool:
        """Whether no rule failed and the plugin was tried; advice, and what no one can check here, do not count."""
        return not self.failures and not not_tried(self.findings)

    @property
    def failures(self) -> tuple[Finding, ...]:
        return self.of("failed")

    @property
    def unchecked(self) -> tuple[Finding, ...]:
        return self.of("unchecked")

    def of(self, status: str) -> tuple[Finding, ...]:
        """The findings of one status."""
        return tuple(finding for finding in self.findings if finding.status == status)

    def as_json(self) -> dict[str, Any]:
        """The verdict as plain lists, dicts, strings and numbers."""
        return {"passed": self.passed} | asdict(self)


# A rule is a promise (what holds when it passes) and a function that yields what breaks it.
Problem = tuple[str, str, str]  # status, message, remedy
Rules = dict[str, tuple[str, Callable[[Any], Iterable[Problem]]]]


def failed(message: str, remedy: str) -> Problem:
    return "failed", message, remedy


def advice(message: str, remedy: str) -> Problem:
    return "advice", message, remedy


def apply(rules: Rules, subject: Any) -> list[Finding]:
    """Try every rule of a table on one subject.

    Returns
    -------
    list of Finding, in the order of the table: the problems of each rule, or its promise as "ok"
    """
    findings = []
    for rule, (promise, problems) in rules.items():
        found = [Finding(rule, *problem) for problem in problems(subject)]
        findings += found or [Finding(rule, "ok", promise)]
    return findings


def any_failed(findings: Iterable[Finding]) -> bool:
    return any(finding.status == "failed" for finding in findings)


TRIALS = ("fresh-environment", "loads", "generic-tests", "own-tests")


def not_tried(findings: Iterable[Finding]) -> bool:
    """Whether what proves a plugin could not be done here, through no fault of its own: then nothing is proven."""
    return any(finding.rule in TRIALS and finding.status == "unchecked" for finding in findings)
