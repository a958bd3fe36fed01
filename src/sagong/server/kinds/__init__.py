"""Per-kind strategies: defaulting, validation, what a write may change.
kinds/<group>/<kind>.py."""
