"""HTTP: bodies and paths, metrics, the description of the API, and who may change the routing."""
