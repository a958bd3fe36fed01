"""Services to nftables, as kube-proxy's nftables mode does.

services.py, endpoints.py, rules.py and ruleset.py are pure; nft.py and conntrack.py are the only
I/O; service_proxy.py joins them. A packet costs the same however many services there are.
"""
