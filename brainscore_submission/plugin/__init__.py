"""The self-contained part: copied verbatim into a submission zip. Relative imports only."""
