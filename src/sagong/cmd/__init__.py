"""Composition roots, one a process: everything is built by hand here, no logic."""
