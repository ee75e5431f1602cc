"""Images -> features or Gram matrices -> predictions.

Torch, numpy and scipy only: no Brain-Score, xarray, pandas or scikit-learn, so that any GPU machine runs it.
"""
