"""Promises of search/scores.py: what a search asks a benchmark beforehand leaves no trace."""

import re
from pathlib import Path

import brainscore_vision
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from result_caching import store

from brainscore_submission.layer_search.scores import committed, requests_of
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.scoring.fast_metrics import Job
from brainscore_submission.scoring.recorded_model import KEEPING

LAYER = "blocks.1.blocks.1.0.norm1"


def firing_rate(identifier, rate):
    """Kept by the model's identifier alone, as Marques2020's firing rates are."""
    return rate


firing_rate.__module__ = "brainscore_vision.benchmarks.lab"
firing_rate = store(identifier_ignore=["rate"])(firing_rate)


def test_what_brainscore_keeps_of_a_model_or_a_file_lies_in_the_modules_that_are_told():
    folder = Path(brainscore_vision.__file__).parent
    keeping = [path for path in folder.rglob("*.py") if re.search(r"^\s*@store(_xarray)?\(", path.read_text(), re.M)]
    modules = {".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in keeping}
    others = {module for module in modules if not module.startswith(KEEPING)}
    assert {module for module in others if not module.startswith("brainscore_vision.model")} == {
        "brainscore_vision.benchmark_helpers.screen",  # resized images
        "brainscore_vision.data.kar2019.data_packaging",  # not run by a benchmark
    }


class OfFiringRates:
    """A benchmark like Marques2020's: it asks for activations and keeps what it makes of them."""

    def __init__(self, stimuli):
        self._stimuli = stimuli

    def __call__(self, candidate):
        candidate.start_recording("V1", [(70, 170)])
        activations = candidate.look_at(self._stimuli)
        return firing_rate(identifier=candidate.identifier, rate=float(activations.values.mean()))


def test_brainscore_keeps_nothing_of_the_noise_that_a_benchmark_is_asked_with(tiny_card, image_folder, monkeypatch):
    monkeypatch.delenv("RESULTCACHING_DISABLE", raising=False)
    paths = sorted(image_folder.glob("*.png"))
    stimuli = StimulusSet({"stimulus_id": [path.stem for path in paths]})
    stimuli.stimulus_paths = {path.stem: path for path in paths}
    stimuli.identifier = "six images"
    loaded = load_network(tiny_card, "untrained")
    model = Model("tiny", tiny_card, loaded.network, loaded.origin, {})
    job = Job("lab.V1-rates", "V1", OfFiringRates(stimuli), "features", "brainscore")
    (request,) = requests_of(job, model, LAYER)
    assert (len(request.hashes), request.features) == (6, {LAYER})
    identifier = committed(model, "V1", LAYER).commit().identifier
    assert firing_rate(identifier=identifier, rate=1.0) == 1.0
    assert firing_rate(identifier=identifier, rate=2.0) == 1.0  # outside of the rehearsal it does keep
