"""What scoring a model will take, before it starts: images, passes through the network, disk and time, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..words import count, duration_in_words, size_in_words


@dataclass(frozen=True)
class Plan:
    """What scoring one model will take.

    Parameters
    ----------
    model : its name
    scores, missing : benchmarks, and those without a record that still holds
    images : that they show
    passes : images that have to go through the network
    seconds : of those passes, measured on a few; the metrics come on top
    features_bytes : of the features while they wait, in memory or on disk
    kept_bytes : of Gram matrices, which stay in the cache
    note : such as what has to be fetched first
    """

    model: str
    scores: int
    missing: int
    images: int
    passes: int
    seconds: float
    features_bytes: int
    kept_bytes: int
    note: str = ""

    def in_words(self) -> str:
        """One line."""
        if not self.missing:
            return f"{self.model}: all {self.scores} scores are there"
        words = (
            f"{self.model}: {self.missing} of {self.scores} scores, {self.images} images, {self.passes} passes, about "
            f"{duration_in_words(self.seconds)}, features {size_in_words(self.features_bytes)}, "
            f"kept {size_in_words(self.kept_bytes)}"
        )
        return f"{words} ({self.note})" if self.note else words


def nothing_left(model: str, scores: int) -> Plan:
    """The plan of a model whose scores are all there."""
    return Plan(model, scores, missing=0, images=0, passes=0, seconds=0.0, features_bytes=0, kept_bytes=0)


def total_in_words(plans: Sequence[Plan]) -> str:
    """All of them in one line."""
    seconds, kept = sum(plan.seconds for plan in plans), sum(plan.kept_bytes for plan in plans)
    missing, scores = sum(plan.missing for plan in plans), sum(plan.scores for plan in plans)
    passes, features = sum(plan.passes for plan in plans), max((plan.features_bytes for plan in plans), default=0)
    return (
        f"{count(len(plans), 'model')}, {missing} of {scores} scores to make, {passes} passes, about "
        f"{duration_in_words(seconds)} of them, at most {size_in_words(features)} of features at a time, "
        f"{size_in_words(kept)} kept. The metrics come on top."
    )
