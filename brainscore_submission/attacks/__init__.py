"""Pixels in [0, 1] -> perturbed pixels: threats, attacks and what they found. Torch only, no Brain-Score."""
