"""Evaluate a model on the brain's benchmarks: python evaluate.py --model 991."""

try:
    from brainscore_submission.cli import EVALUATE_HELP, evaluate, run
except ModuleNotFoundError as error:
    raise SystemExit(
        f"error: '{error.name}' is not installed in this Python. Run: make setup && source .venv/bin/activate"
    ) from error

if __name__ == "__main__":
    run(evaluate, EVALUATE_HELP)
