"""Why a pod cannot be given what it asks for: its admission fails with these reasons."""


class AllotmentFailure(Exception):
    """Something could not be given; the text is upstream's.

    AllotmentFailure        UnexpectedAdmissionError
    ├── NotAligned          TopologyAffinityError
    └── PartOfCore          SMTAlignmentError
    """

    reason = "UnexpectedAdmissionError"

    @property
    def message(self) -> str:
        return f"Allocate failed due to {self}, which is unexpected"


class NotAligned(AllotmentFailure):
    reason = "TopologyAffinityError"

    def __init__(self) -> None:
        super().__init__("Resources cannot be allocated with Topology locality")

    @property
    def message(self) -> str:
        return str(self)


class PartOfCore(AllotmentFailure):
    """With full-pcpus-only a container has whole cores."""

    reason = "SMTAlignmentError"

    def __init__(self, requested: int, per_core: int, available: int | None = None) -> None:
        if available is None:
            detail = f"requested {requested} cpus not multiple cpus per core = {per_core}"
        else:
            detail = (
                f"not enough free physical CPUs: available physical CPUs = {available}, "
                f"requested CPUs = {requested}, CPUs per core = {per_core}"
            )
        super().__init__(f"SMT Alignment Error: {detail}")

    @property
    def message(self) -> str:
        return str(self)
