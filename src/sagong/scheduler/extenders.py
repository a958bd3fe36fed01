"""Extenders: web services that filter and score nodes, choose victims or bind, in our stead.

Messages are those of ``k8s.io/kube-scheduler/extender/v1``, whose field names begin with capitals;
answers may spell them in any case, as Go reads them.
"""

import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sagong.api.types import Obj
from sagong.scheduler.extender_config import ExtenderConfig
from sagong.scheduler.opinion import Opinion
from sagong.scheduler.pod import PodFacts
from sagong.scheduler.preemption import Attempt, Candidate

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

# Extenders score 0..10, plugins 0..100.
SCALE = 10


class ExtenderFailed(Exception):
    """An extender that must be heeded did not answer, or said that it failed."""


class Extenders:
    """All extenders of a configuration, in their order."""

    def __init__(self, configs: Sequence[ExtenderConfig]) -> None:
        self._configs = configs
        self._session: aiohttp.ClientSession | None = None

    def concern(self, pod: PodFacts) -> bool:
        """Whether any of them is to be asked about a pod."""
        return any(config.concerns(pod) for config in self._configs)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def filter(self, pod: PodFacts, obj: Obj, nodes: Mapping[str, Obj]) -> Opinion:
        """Ask which of the nodes will do, then how good they are. Raises ExtenderFailed."""
        opinion = Opinion(nodes.keys(), set(nodes))
        for config in self._configs:
            if config.filter_verb and config.concerns(pod) and opinion.allowed:
                await self._filter(config, obj, nodes, opinion)
        if len(opinion.allowed) > 1:
            for config in self._configs:
                if config.prioritize_verb and config.concerns(pod):
                    await self._prioritize(config, obj, nodes, opinion)
        return opinion

    async def choose_victims(self, pod: PodFacts, obj: Obj, attempt: Attempt) -> Attempt:
        """Candidates that the extenders agree with, with the victims that they name."""
        candidates = list(attempt.candidates)
        for config in self._configs:
            if not (config.preempt_verb and config.concerns(pod) and candidates):
                continue
            body = {"Pod": obj, "NodeNameToMetaVictims": _meta_victims(candidates)}
            answer = await self._ask(config, config.preempt_verb, body)
            if answer is None:
                continue
            found = _field(answer, "NodeNameToMetaVictims") or {}
            candidates = [
                _agreed(candidate, found[candidate.node])
                for candidate in candidates
                if candidate.node in found
            ]
        return replace(attempt, candidates=candidates)

    def binder_of(self, pod: PodFacts) -> ExtenderConfig | None:
        """Who binds a pod in our stead."""
        return next((c for c in self._configs if c.bind_verb and c.concerns(pod)), None)

    async def bind(self, config: ExtenderConfig, pod: PodFacts, node: str) -> None:
        """Have a pod bound. Raises ExtenderFailed."""
        body = {
            "PodName": pod.key.name,
            "PodNamespace": pod.key.namespace,
            "PodUID": pod.uid,
            "Node": node,
        }
        await self._ask(replace(config, ignorable=False), config.bind_verb, body)

    async def _filter(
        self, config: ExtenderConfig, obj: Obj, nodes: Mapping[str, Obj], opinion: Opinion
    ) -> None:
        answer = await self._ask(config, config.filter_verb, _question(config, obj, nodes, opinion))
        if answer is None:
            return
        kept = _field(answer, "NodeNames")
        if not config.knows_nodes or kept is None:
            listed = _field(_field(answer, "Nodes") or {}, "items") or ()
            kept = [node["metadata"]["name"] for node in listed]
        opinion.failed = {**opinion.failed, **(_field(answer, "FailedNodes") or {})}
        hopeless = _field(answer, "FailedAndUnresolvableNodes") or {}
        opinion.hopeless = {**opinion.hopeless, **hopeless}
        unknown = set(kept) - opinion.allowed
        if unknown:
            raise ExtenderFailed(
                f'extender "{config.url}" claims a filtered node "{min(unknown)}" which is not '
                "found in the input node list"
            )
        opinion.allowed &= set(kept)

    async def _prioritize(
        self, config: ExtenderConfig, obj: Obj, nodes: Mapping[str, Obj], opinion: Opinion
    ) -> None:
        try:
            question = _question(config, obj, nodes, opinion)
            answer = await self._ask(config, config.prioritize_verb, question)
        except ExtenderFailed as error:
            # Scores are not worth failing for.
            log.info("%s", error)
            return
        for entry in answer if isinstance(answer, list) else ():
            host, score = _field(entry, "Host"), int(_field(entry, "Score") or 0)
            more = score * config.weight * SCALE
            opinion.scores[host] = opinion.scores.get(host, 0) + more

    async def _ask(self, config: ExtenderConfig, verb: str, body: Obj) -> Any:
        """The answer; None if there is none from an extender that may be ignored."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession()
        url = f"{config.url}/{verb}"
        timeout = aiohttp.ClientTimeout(total=config.timeout_seconds)
        try:
            async with self._session.post(
                url, json=body, timeout=timeout, ssl=_tls(config)
            ) as answer:
                if answer.status != 200:
                    raise ExtenderFailed(
                        f"failed {verb} with extender at URL {url}, code {answer.status}"
                    )
                found = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            failed = ExtenderFailed(f'Post "{url}": {error or "no answer in time"}')
        except ExtenderFailed as error:
            failed = error
        else:
            told = _field(found, "Error") if isinstance(found, dict) else None
            if not told:
                return found
            failed = ExtenderFailed(str(told))
        if config.ignorable:
            log.info("%s; ignored", failed)
            return None
        raise failed


def _question(config: ExtenderConfig, obj: Obj, nodes: Mapping[str, Obj], opinion: Opinion) -> Obj:
    names = [name for name in nodes if name in opinion.allowed]
    if config.knows_nodes:
        return {"Pod": obj, "Nodes": None, "NodeNames": names}
    return {"Pod": obj, "Nodes": {"items": [nodes[n] for n in names]}, "NodeNames": None}


def _field(answer: Obj, name: str) -> Any:
    """A field whatever the case of its name."""
    if name in answer:
        return answer[name]
    lowered = name.lower()
    return next((value for key, value in answer.items() if key.lower() == lowered), None)


def _meta_victims(candidates: Sequence[Candidate]) -> Obj:
    return {
        candidate.node: {
            "Pods": [{"UID": victim.uid} for victim in candidate.victims],
            "NumPDBViolations": candidate.violations,
        }
        for candidate in candidates
    }


def _agreed(candidate: Candidate, victims: Obj) -> Candidate:
    uids = {_field(pod, "UID") for pod in _field(victims, "Pods") or ()}
    return replace(
        candidate,
        victims=tuple(v for v in candidate.victims if v.uid in uids),
        violations=int(_field(victims, "NumPDBViolations") or 0),
    )


def _tls(config: ExtenderConfig) -> "ssl.SSLContext | bool":
    if not config.url.startswith("https://") or not config.tls:
        return True
    context = ssl.create_default_context(
        cafile=config.tls.get("caFile"), cadata=config.tls.get("caData")
    )
    if config.tls.get("insecure"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.tls.get("certFile"):
        context.load_cert_chain(config.tls["certFile"], config.tls.get("keyFile"))
    return context
