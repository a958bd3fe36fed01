"""Controllers of the kinds of this API group, one file a kind; large plans in files beside it."""
