"""Cluster DNS: records.py and wire.py are pure, server.py serves."""
