"""What runs here: a folder is a model, ``platform`` is what all of them use."""
