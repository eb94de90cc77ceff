"""When to train again, and whether it helped."""
