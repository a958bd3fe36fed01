"""nftables tables of ours: what they should hold, what they hold, and the transactions between.

fragment.py and ruleset.py are pure; nft.py is the only I/O; writer.py joins them. The service proxy
and the network policies have one table each.
"""
