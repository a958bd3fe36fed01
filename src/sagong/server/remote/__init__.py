"""How the API server reaches programs that extend it: webhooks and aggregated API servers.

Where they are (``locating``), whom to trust (``trust``), sending a review and reading its answer
(``posting``), and Go's words for what went wrong (``words``). Imported by the server only.
"""
