"""Services to nftables: rules.py is pure, nft.py is the only I/O."""
