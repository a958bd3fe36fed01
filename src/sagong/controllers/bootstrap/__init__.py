"""Controllers of the tokens with which new machines join."""
