"""The brain areas that a model commits layers to, shallow to deep, behaviour, and the class output beside them."""

AREAS = ("V1", "V2", "V4", "IT")
BEHAVIOR = "behavior"
AREAS_AND_BEHAVIOR = (*AREAS, BEHAVIOR)
LOGITS = "logits"
"""The layer name that stands for the output of the whole network.

For CrossViT this is the mean over both heads. Brain-Score's default for this name takes the last registered
child, ``head.1`` alone, and so scores label tasks on half the classifier.
"""
