"""The product on the judge's tiny network: what `evaluate.py --benchmark <id>` does, over stand-ins for the data."""

import warnings
from pathlib import Path

import torch
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper

from brainscore_submission.engine.budget import Budget
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.card import Card, Preprocessing, Weights
from brainscore_submission.scoring.records import Record
from brainscore_submission.scoring.score import ScoreOptions, score_suite
from brainscore_submission.scoring.suites import single_benchmarks

from .network import LAYERS, READOUT, VISUAL_DEGREES, network, preprocess


def read_as_the_judge(path: Path) -> torch.Tensor:
    return torch.from_numpy(preprocess([path])[0].copy())


class TinyModel(Model):
    """A model whose pixels are the judge's."""

    @property
    def reading(self):
        return read_as_the_judge

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels

    def activations_model(self) -> PytorchWrapper:
        return PytorchWrapper(self.network, preprocess, identifier=self.cache_identifier, batch_size=self.batch_size)


def tiny_model(**changes) -> Model:
    card = Card(
        "stand_in_network",
        "stand_in",
        Weights(file="none"),
        visual_degrees=VISUAL_DEGREES,
        num_classes=1000,
        preprocessing=Preprocessing("of the judge", resize_px=64),
    )
    fields = {"layers": {**LAYERS, "behavior": READOUT}, "batch_size": 16} | changes
    return TinyModel("stand-in", card, network(), {"seed": 7}, **fields)


def scored(identifiers: list[str], results: Path, **options) -> list[Record]:
    """Records of the tiny network on benchmarks, made by the product."""
    options = ScoreOptions(results=results, budget=Budget(10**9, 0, None), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Brain-Score's own code, as in `alone`
        return score_suite(tiny_model(), single_benchmarks(identifiers), options)
