"""Whether the rows of a window still look like those a model was trained on."""
