"""The three patch formats, pure: JSON Patch, JSON merge patch, strategic merge patch.

Nothing here changes its inputs; results may share parts with them. May be imported by anyone.
"""
