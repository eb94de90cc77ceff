"""The outside world: one file per brand behind the protocols of ``ports``, imported in methods."""
