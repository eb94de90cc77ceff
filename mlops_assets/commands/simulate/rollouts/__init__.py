"""How often rollouts are decided wrongly, beside what others decide by."""
