"""Evaluate a model on the brain's benchmarks: python evaluate.py --model 991."""

from brainscore_submission.cli import EVALUATE_HELP, evaluate, run

if __name__ == "__main__":
    run(evaluate, EVALUATE_HELP)
