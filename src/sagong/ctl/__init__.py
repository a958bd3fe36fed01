"""The controller kit: cache, work queue, runner, ownership, expectations, events, leases.

Controllers, scheduler, node agent and network use it. It reaches the API through client only.
"""
