"""The whole life of a machine-learning model as Dagster software-defined assets."""
