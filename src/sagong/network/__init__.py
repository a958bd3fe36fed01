"""Packets between pods and services: proxy, DNS, routes, policy.

What a machine does for the network beside its CNI plugins. ``agent.py`` composes the parts and is
what cmd imports. Uses ctl (Cache, Watch), client, api and core; knows nothing of node or server.
"""
