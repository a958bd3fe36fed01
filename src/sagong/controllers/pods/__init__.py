"""What the workload controllers share: reading pods, making them, ranking them, their revisions.

Pure but for ``control.py``, which creates and deletes with upstream's events. Imported by the
controllers only.
"""
