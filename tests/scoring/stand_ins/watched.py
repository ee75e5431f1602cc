"""A brain model that notes what a benchmark asks of it."""

from .network import committed


def watched_model():
    """The tiny network committed to areas, and the list of what it was asked, in order.

    Returns
    -------
    ModelCommitment, list of dicts: ``asked`` is start_task, start_recording, look_at or layers
    """
    model, asked = committed(), []
    start_task, start_recording, look_at = model.start_task, model.start_recording, model.look_at
    activations = model.activations_model

    def noted_task(task, *args, **kwargs):
        asked.append({"asked": "start_task", "task": str(getattr(task, "value", task))})
        return start_task(task, *args, **kwargs)

    def noted_recording(region, time_bins):
        bins = [getattr(bin_, "tolist", lambda bin_=bin_: bin_)() for bin_ in time_bins]
        asked.append(
            {"asked": "start_recording", "region": str(region), "time_bins": [list(map(float, bin_)) for bin_ in bins]}
        )
        return start_recording(region, time_bins)

    def noted_look(stimuli, number_of_trials=1, **kwargs):
        identifier = getattr(stimuli, "identifier", None)
        note = {"asked": "look_at", "stimuli": identifier, "n_rows": len(stimuli)}
        note |= {"n_stimuli": int(stimuli["stimulus_id"].nunique()), "number_of_trials": int(number_of_trials)}
        asked.append(note | {name: bool(value) for name, value in kwargs.items()})
        return look_at(stimuli, number_of_trials, **kwargs)

    class Activations(type(activations)):
        def __call__(self, stimuli, layers, **kwargs):
            asked.append({"asked": "layers", "layers": list(layers), "stimuli": getattr(stimuli, "identifier", None)})
            return super().__call__(stimuli, layers=layers, **kwargs)

    activations.__class__ = Activations
    model.start_task, model.start_recording, model.look_at = noted_task, noted_recording, noted_look
    return model, asked
