"""The parts of a layer search: candidates, plan, lockstep recording, sketch, scores, selection, tasks.

`brainscore_submission.layer_search` puts them together.
"""
