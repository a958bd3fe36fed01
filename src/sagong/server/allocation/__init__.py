"""What services are given when they are written: cluster IPs and node ports.

Pure choices (``ranges``, ``families``) and the admission plugin that makes them real
(``service_allocator``). The composition root builds the plugin; only the server imports this.
"""
