"""Ceilings depend on the recordings alone: computed once, and kept by a fingerprint of what they are computed from.

Brain-Score keeps them by class and identifier, so that another version of the data would get the ceiling of the first.
"""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)
