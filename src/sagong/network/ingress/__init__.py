"""HTTP into the cluster: Ingresses of our class, served by haproxy on every node.

model.py, ingresses.py and config.py are pure: what is served, what objects say of it, and the
proxy's files; haproxy.py runs the proxy; server.py joins them.
"""
