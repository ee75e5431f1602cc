"""Adversarial fine-tuning: recipes are data, runs resume bit for bit, results are cards like any other. Torch only."""
