"""Conversion of custom resources by a webhook: as few and as large questions as possible."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sagong.api.errors import ApiError
from sagong.api.types import Encoded, Obj
from sagong.core.ids import Ids
from sagong.server.custom_resources.conversion_reviews import (
    BadConversion,
    answered,
    checked,
    question,
    version_of,
)
from sagong.server.remote.locating import Target, target_of
from sagong.server.remote.posting import CallFailed, Poster

SECONDS = 30.0  # upstream's timeout of a conversion
# Stored states of which the converted form is remembered, by version; past it the oldest is
# converted again when it is read.
REMEMBERED_MAX = 4096


@dataclass(slots=True)
class WebhookConverter:
    """The converter of one definition."""

    poster: Poster
    ids: Ids
    target: Target
    review_versions: Sequence[str]
    _known: OrderedDict[tuple[str, str, str], Encoded] = field(default_factory=OrderedDict)

    async def convert(self, objects: Sequence[Obj], api_version: str) -> Sequence[Obj]:
        """See ``Converter``."""
        asked = [obj for obj in objects if obj["apiVersion"] != api_version]
        if not asked:
            return objects
        kind = f"{asked[0]['apiVersion']}, Kind={asked[0]['kind']}{'List' * (len(objects) > 1)}"
        try:
            found = await self._ask(asked, api_version)
        except CallFailed as error:
            raise ApiError(f"conversion webhook for {kind} failed: {error}") from error
        except BadConversion as error:
            raise ApiError(f"conversion webhook for {kind} {error}") from error
        converted = iter(found)
        return [obj if obj["apiVersion"] == api_version else next(converted) for obj in objects]

    async def read(self, objects: Sequence[Encoded], api_version: str) -> Sequence[Encoded]:
        """See ``Converter``."""
        keys = [_key(encoded.obj, api_version) for encoded in objects]
        lacking = [i for i, key in enumerate(keys) if key not in self._known]
        found = await self.convert([objects[i].obj for i in lacking], api_version)
        fresh = {i: Encoded(obj) for i, obj in zip(lacking, found, strict=True)}
        result = [fresh.get(i) or self._known[key] for i, key in enumerate(keys)]
        for i, encoded in fresh.items():
            self._known[keys[i]] = encoded
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return result

    async def _ask(self, objects: Sequence[Obj], api_version: str) -> Sequence[Obj]:
        """Raises CallFailed, BadConversion."""
        uid = self.ids.uid()
        try:
            version = version_of(self.review_versions)
        except BadConversion as error:
            raise BadConversion(f"failed: {error}") from None
        review = question(objects, api_version, uid=uid, version=version)
        answer = await self.poster.post(self.target, review, seconds=SECONDS)
        try:
            found = answered(answer, uid=uid, version=version)
        except BadConversion as error:
            raise BadConversion(f"failed: {error}") from None
        if len(found) != len(objects):
            raise BadConversion(f"returned {len(found)} objects, expected {len(objects)}")
        places = [""] if len(objects) == 1 else [f" at index {i}" for i in range(len(objects))]
        return [
            checked(original, converted, api_version, where)
            for original, converted, where in zip(objects, found, places, strict=True)
        ]


def _key(obj: Obj, api_version: str) -> tuple[str, str, str]:
    """A stored state: what has the same uid and version is the same object."""
    metadata = obj["metadata"]
    return metadata["uid"], metadata["resourceVersion"], api_version


def converter_of(definition: Obj, poster: Poster, ids: Ids) -> WebhookConverter | None:
    """The converter that a definition asks for; None if its versions differ in name only."""
    conversion: dict[str, Any] = definition["spec"].get("conversion") or {}
    if conversion.get("strategy") != "Webhook":
        return None
    webhook = conversion["webhook"]
    target = target_of(webhook["clientConfig"])
    return WebhookConverter(poster, ids, target, webhook.get("conversionReviewVersions") or ())
