"""The model server beside others with the same model, on the same rows, in one run."""
