"""Which flights arrive late."""
