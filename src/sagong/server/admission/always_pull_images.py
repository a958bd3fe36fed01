"""AlwaysPullImages: no pod runs an image that its own pull secrets do not open.

Off by default. Source of semantics: upstream's ``plugin/pkg/admission/alwayspullimages``.
"""

from collections.abc import Iterator

from sagong.api.types import Obj
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import refuse

_KINDS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages:
    name = "AlwaysPullImages"
    resources = frozenset(("pods",))

    async def admit(self, attributes: Attributes) -> None:
        pod = _concerned(attributes)
        if pod is None:
            return
        for _, container in _containers(pod):
            container["imagePullPolicy"] = "Always"
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("image"):
                volume["image"]["pullPolicy"] = "Always"

    async def validate(self, attributes: Attributes) -> None:
        pod = _concerned(attributes)
        if pod is None:
            return
        wrong = [
            f'{path}.imagePullPolicy: Unsupported value: "{c.get("imagePullPolicy") or ""}": '
            'supported values: "Always"'
            for path, c in _containers(pod)
            if c.get("imagePullPolicy") != "Always"
        ]
        if wrong:
            raise refuse(attributes, wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")


def _concerned(attributes: Attributes) -> Obj | None:
    """The pod, if the write could bring images that the node has not been told to pull."""
    if attributes.operation not in (Operation.CREATE, Operation.UPDATE):
        return None
    if attributes.subresource not in ("", "ephemeralcontainers"):
        return None
    pod, old = attributes.obj, attributes.old
    if pod is None or not isinstance(pod.get("spec"), dict):
        return None
    if old is not None and _images(pod) <= _images(old):
        return None
    return pod


def _images(pod: Obj) -> set[str]:
    return {container.get("image") or "" for _, container in _containers(pod)}


def _containers(pod: Obj) -> Iterator[tuple[str, Obj]]:
    for kind in _KINDS:
        for i, container in enumerate(pod["spec"].get(kind) or ()):
            yield f"spec.{kind}[{i}]", container
