"""Promises of search/scores.py: what a search asks a benchmark beforehand leaves no trace."""

from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from result_caching import store

from brainscore_submission.layer_search.scores import committed, requests_of
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.scoring.fast_metrics import Fitted
from brainscore_submission.scoring.score import Job

LAYER = "blocks.1.blocks.1.0.norm1"


@store(identifier_ignore=["rate"])
def firing_rate(identifier, rate):
    """Kept by the model's identifier alone, as Marques2020's firing rates are."""
    return rate


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
    model = Model(tiny_card, loaded.network, loaded.origin, {})
    job = Job("lab.V1-rates", "V1", Fitted(OfFiringRates(stimuli), "features", "brainscore"))
    (request,) = requests_of(job, model, LAYER)
    assert (len(request.hashes), request.features) == (6, {LAYER})
    identifier = committed(model, "V1", LAYER).commit().identifier
    assert firing_rate(identifier=identifier, rate=1.0) == 1.0
    assert firing_rate(identifier=identifier, rate=2.0) == 1.0  # outside of the rehearsal it does keep
