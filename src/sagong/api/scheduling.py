"""The words of ``pods/scheduling``: why a pod went where it went, or nowhere.

Not part of Kubernetes: schedulers publish here how they decided, and people read it. A record names
for each reason the nodes that were refused (of many only the first), and how the winner scored.
"""

GROUP, VERSION = "scheduling.sagong.dev", "v1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "PodScheduling"
SUBRESOURCE = "scheduling"
