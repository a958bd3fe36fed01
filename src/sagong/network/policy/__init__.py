"""NetworkPolicy: who may talk to this node's pods, and to whom they may.

model.py and rules.py are pure: what objects say, which addresses a selector means, and the nftables
rules of it. book.py keeps the plan in step with changes, pure as well; enforcer.py writes it to the
kernel, the only I/O.
"""
