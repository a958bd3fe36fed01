"""Asks every agent now and then what its pods use; keeps the last two answers of each."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sagong.api.errors import ApiError
from sagong.core.tasks import task_group
from sagong.server.metrics_api.points import Point, Subject, Usage, parse_points, usage_between
from sagong.server.streams.agents import Agents

log = logging.getLogger(__name__)

SCRAPE_SECONDS = 15.0  # metrics-server's default resolution
# While some node has been seen only once, so that a new cluster has figures soon.
FIRST_SCRAPES_SECONDS = 5.0
ANSWER_SECONDS = 10.0
PARALLEL = 32  # agents asked at once

Points = Mapping[Subject, Point]


@dataclass(slots=True)
class _Seen:
    """Two scrapes of one node, the later of which may be missing."""

    earlier: Points
    later: Points | None = None

    def take(self, points: Points) -> None:
        """A scrape that tells nothing newer (the agent had not sampled again) is ignored."""
        last = self.later or self.earlier
        if max((p.at for p in points.values()), default=0) <= max(
            (p.at for p in last.values()), default=0
        ):
            return
        self.earlier, self.later = last, points


@dataclass(slots=True)
class Scraper:
    """``run`` ends only when cancelled. A node that does not answer is left out until it does."""

    nodes: Callable[[], Iterable[str]]
    agents: Agents
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def usage(self, node: str) -> Mapping[Subject, Usage]:
        """What is known of a node and the containers on it."""
        seen = self._seen.get(node)
        if seen is None or seen.later is None:
            return {}
        found = {}
        for subject, later in seen.later.items():
            earlier = seen.earlier.get(subject)
            # A container that is new since has used all that it used within its life.
            usage = usage_between(earlier, later) if earlier is not None else None
            if usage is not None:
                found[subject] = usage
        return found

    async def run(self) -> None:
        while True:
            names = list(self.nodes())
            limit = asyncio.Semaphore(PARALLEL)
            async with task_group() as tasks:
                rounds = [
                    tasks.start(self._scrape(name, limit), name=f"scrape {name}") for name in names
                ]
                if rounds:
                    await asyncio.wait(rounds)
            self._seen = {name: self._seen[name] for name in names if name in self._seen}
            # Nodes that never answer (dead, simulated) must not keep the haste up.
            is_new = not self._asked.issuperset(names) or any(
                seen.later is None for seen in self._seen.values()
            )
            self._asked = set(names)
            await asyncio.sleep(FIRST_SCRAPES_SECONDS if is_new or not names else SCRAPE_SECONDS)

    async def _scrape(self, node: str, limit: asyncio.Semaphore) -> None:
        import aiohttp  # now that there are nodes, see Agents

        try:
            async with limit, asyncio.timeout(ANSWER_SECONDS):
                endpoint = self.agents.kubelets.of(node)
                async with self.agents.backend.get(endpoint, "/metrics/resource") as answer:
                    if answer.status != 200:
                        log.info("node %s does not tell its usage: %s", node, answer.status)
                        return
                    points = parse_points(await answer.text())
        except (ApiError, aiohttp.ClientError, OSError, ValueError) as error:
            log.info("node %s does not tell its usage: %s", node, error)
            self._seen.pop(node, None)
            return
        seen = self._seen.get(node)
        if seen is None:
            self._seen[node] = _Seen(points)
        else:
            seen.take(points)
