"""Authorisation: one file a mode (RBAC, Node), and the bootstrap policy."""
