"""Plugins that register with the agent at Unix sockets: found, asked who they are, told the result.

What kinds of plugins mean (``csi/``) does not belong here.
"""
