"""Cluster DNS: records.py and wire.py are pure, server.py and upstream.py serve.

Follows the published "Kubernetes DNS-Based Service Discovery" specification, version 1.1.
"""
