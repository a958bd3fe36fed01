"""What a node does when memory, disk or process ids run short: reclaim, then evict pods.

Readings, thresholds, ranking and messages are pure; ``evictor`` looks and acts. Semantics:
upstream's ``pkg/kubelet/eviction``.
"""
