"""Put a vision model to the brain's test: record, score, search layers, package."""
