"""What runs on a machine: pods, volumes, probes, images, statistics, the agent's own HTTPS
server."""
