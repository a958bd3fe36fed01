"""Admission plugins, one file each, in the order of chain.py."""
