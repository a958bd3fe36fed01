"""Controllers of nodes: their life, and what becomes of their pods."""
