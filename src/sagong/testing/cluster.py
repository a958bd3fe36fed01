"""What a test is given: where the API server is, how to get in, and a way to wait."""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagong.api.types import Obj

POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class TestCluster:
    """A running API server over HTTPS with an administrator's ways in."""

    url: str
    kubeconfig: Path  # of an administrator, with a client certificate
    token: str  # of the same administrator, for whoever prefers a bearer token
    ca_file: Path

    __test__ = False  # not a class of tests

    @property
    def environment(self) -> Mapping[str, str]:
        """For programs under test: ``subprocess.run(..., env={**os.environ, **...})``."""
        return {"KUBECONFIG": str(self.kubeconfig)}

    def request(self, method: str, path: str, body: Obj | None = None) -> Obj:
        """One JSON request as the administrator, for tests without a client library.

        Raises urllib.error.HTTPError.
        """
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
        )
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with urllib.request.urlopen(request, context=context, timeout=30) as response:
            found: Obj = json.loads(response.read())
        return found

    def wait(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Until the condition gives something true, which is returned. Raises TimeoutError.

        A condition that meets 404 is asked again.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                if found := condition():
                    return found
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} seconds")
            time.sleep(POLL_SECONDS)
