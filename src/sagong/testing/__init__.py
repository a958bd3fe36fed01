"""For users' own tests: an API server beside the test, ready in a fraction of a second.

``backend.py`` holds a server up in a thread, ``cluster.py`` is what a test is given. The fixtures
stand in ``sagong.cmd.pytest_plugin``, which composes them with the production server.
"""
