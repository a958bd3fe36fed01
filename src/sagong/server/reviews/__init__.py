"""Questions that the API answers and does not store: who am I, who is that, who may do what.

One file a group of questions; ``table`` lists the handlers. The token and approval subresources
are here too: they give somebody an identity.
"""
