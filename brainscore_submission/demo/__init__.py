"""The demo suite: SIMULATED neurons and observers, generated on first use, that need no network.

Nothing here was measured in an animal or a person. See `benchmarks` for what is scored, `stimuli` for what is seen,
and `ground_truth` for the network that the simulated neurons and observers respond with.
"""
