"""A year of traffic in minutes, by different rules of when to train again."""
