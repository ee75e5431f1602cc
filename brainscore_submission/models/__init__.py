"""A name that a user types -> a network with five committed layers."""
