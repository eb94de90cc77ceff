"""How often rollouts are decided wrongly: simulated, beside what others decide by."""
