"""What actions on an object answer."""

from sagong.api.call import Single
from sagong.api.types import Encoded


def done() -> Single:
    """The Status of a successful action (binding, eviction)."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    return Single(Encoded(status), 201)
