"""What pods and the node use: cgroup readings, summary, metrics."""
