"""Speed and memory beside brainscore-vision's own code: `python -m bench`, and `python -m bench.gpu` on a GPU."""
