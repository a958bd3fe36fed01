"""Pod routes between nodes and the CNI configuration."""
