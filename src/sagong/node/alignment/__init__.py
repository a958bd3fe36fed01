"""Which processors and which memory of the machine a container has: the agent's CPU, memory and
topology policies.

Choosing is pure (``taking``, ``hints``, ``memory_choice``); the books (``cpu_books``,
``memory_books``) are kept on disk; ``aligner`` asks all who give, in a pod's admission. Semantics:
upstream's ``pkg/kubelet/cm/{cpumanager,memorymanager,topologymanager}``.
"""
