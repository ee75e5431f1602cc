"""The brain areas that a model commits layers to, shallow to deep, and behaviour."""

AREAS = ("V1", "V2", "V4", "IT")
BEHAVIOR = "behavior"
AREAS_AND_BEHAVIOR = (*AREAS, BEHAVIOR)
