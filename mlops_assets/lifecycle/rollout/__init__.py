"""Progressive delivery: measuring (analysis) is kept apart from moving on (state, strategies)."""
