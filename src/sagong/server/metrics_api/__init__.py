"""``metrics.k8s.io``: what nodes and pods use, scraped from the agents (upstream's metrics-server).

Imported by the server's composition root only.
"""
