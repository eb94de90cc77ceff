"""Progressive delivery: measuring (guardrails, promotion) is kept apart from moving on."""
