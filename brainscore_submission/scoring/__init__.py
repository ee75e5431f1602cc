"""Brain-Score as the judge: suites of its benchmarks, scores with how sure they are, records."""
