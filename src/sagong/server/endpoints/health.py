"""``/healthz``, ``/livez``, ``/readyz``: whole, by check, verbose, with exclusions."""

from collections.abc import Awaitable, Callable, Mapping

from sagong.server.http import query
from sagong.server.http.exchange import Exchange
from sagong.server.http.messages import Answered, Response
from sagong.server.http.routing import Endpoint

# Returns what is wrong; None if nothing is.
Check = Callable[[], Awaitable[str | None]]
ROOTS = ("healthz", "livez", "readyz")


class Health:
    """Named checks. ``readyz`` has those of readiness besides."""

    def __init__(self, checks: Mapping[str, Check], readiness: Mapping[str, Check]) -> None:
        self._checks = dict(checks)
        self._readiness = {**checks, **readiness}

    def endpoint(self, path: str) -> Endpoint | None:
        """The endpoint of a health path; None for others."""
        root, _, name = path.strip("/").partition("/")
        if root not in ROOTS:
            return None
        checks = self._readiness if root == "readyz" else self._checks
        if name:
            return _one(name, checks[name]) if name in checks else None
        return _all(root, checks)

    def paths(self) -> list[str]:
        found = []
        for root in ROOTS:
            checks = self._readiness if root == "readyz" else self._checks
            found += [f"/{root}", *(f"/{root}/{name}" for name in checks)]
        return found


def _text(text: str, status: int = 200) -> Response:
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Response(body=text.encode(), status=status, headers=headers)


def _one(name: str, check: Check) -> Endpoint:
    async def answer(exchange: Exchange) -> Answered:
        wrong = await check()
        if wrong is None:
            return _text("ok")
        return _text(f"internal server error: {wrong}\n", 500)

    return answer


def _all(root: str, checks: Mapping[str, Check]) -> Endpoint:
    async def answer(exchange: Exchange) -> Answered:
        excluded = [v for n, v in query.parse_all(exchange.query) if n == "exclude"]
        parameters = query.parse(exchange.query)
        lines, failed = [], []
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            wrong = await check()
            if wrong is None:
                lines.append(f"[+]{name} ok")
            else:
                failed.append(name)
                lines.append(f"[-]{name} failed: reason withheld")
        unknown = [name for name in excluded if name not in checks]
        if unknown:
            shown = ",".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {shown}")
        text = "\n".join(lines) + "\n"
        if failed:
            return _text(f"{text}{root} check failed\n", 500)
        return _text(f"{text}{root} check passed\n" if "verbose" in parameters else "ok")

    return answer
