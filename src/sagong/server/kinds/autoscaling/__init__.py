"""Strategies of the kinds of this API group, one file a kind."""
