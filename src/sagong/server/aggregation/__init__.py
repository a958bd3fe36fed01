"""API aggregation: groups that other API servers serve, registered by APIService objects.

``services`` knows who serves what, ``conditions`` whether they can be reached, ``identity`` and
``asking`` who asks what, ``calling`` and ``proxying`` pass requests on, ``contents`` keeps what
extensions say of themselves, and ``aggregator`` is all of it. Imported by the server's HTTP side,
discovery, OpenAPI and the composition root.
"""
