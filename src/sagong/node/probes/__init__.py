"""Startup, readiness and liveness probes, one file a handler."""
