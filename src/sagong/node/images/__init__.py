"""Image pulling, policies, garbage collection."""
