"""How often decisions are wrong: simulated, beside what others decide by."""
