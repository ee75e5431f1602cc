"""`python -m brainscore_submission …`, which `torchrun` can start."""

from .cli import main

if __name__ == "__main__":
    main()
