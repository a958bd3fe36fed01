"""An application on a running cluster, and what the cluster must do with it, tried and told.

``python -m demo [POINT...]``; the points are those of the main job. May import ``sagong.local``.
"""
