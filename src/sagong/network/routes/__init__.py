"""Pod routes between nodes, the CNI configuration, and the kernel settings that both need."""
