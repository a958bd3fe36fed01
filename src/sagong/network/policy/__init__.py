"""NetworkPolicy in nftables: not there yet. Policies are stored by the API and not enforced."""
