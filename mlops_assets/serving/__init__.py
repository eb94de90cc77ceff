"""The model server: a process of its own that answers the Open Inference Protocol v2."""
