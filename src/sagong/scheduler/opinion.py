"""What extenders say of the nodes that our own filters have left."""

from collections.abc import Set
from dataclasses import dataclass, field


@dataclass(slots=True)
class Opinion:
    """By names of nodes."""

    asked: Set[str]
    allowed: set[str]
    # Why nodes were refused; of the second kind of refusal eviction is no help.
    failed: dict[str, str] = field(default_factory=dict)
    hopeless: dict[str, str] = field(default_factory=dict)
    scores: dict[str, int] = field(default_factory=dict)
