"""The examples in the docstrings are true."""

import doctest

from brainscore_submission.labelled_images import classes


def test_examples():
    failed, attempted = doctest.testmod(classes)
    assert attempted and not failed
