"""Who manages which field: ``metadata.managedFields`` kept over updates and applies.

The semantics are those of apimachinery's ``managedfields`` package: every write makes its writer
the owner of the fields that it set or changed; an apply owns what its configuration names, gives
up what it no longer names (which deletes fields that nobody else owns), and must not change what
others own unless forced. Managed fields of other versions of a kind are taken as they are: paths
are not converted between versions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagong.api.apply import lastapplied
from sagong.api.apply.compute import compare, field_set, named_fields, type_problems, without
from sagong.api.apply.creation import created_fields
from sagong.api.apply.fields import (
    EMPTY,
    FieldSet,
    Path,
    contains,
    show_path,
    touches,
    union,
)
from sagong.api.apply.merging import merge
from sagong.api.checking import zero_value
from sagong.api.errors import ApiError, BadRequest, Conflict
from sagong.api.schema import Node
from sagong.api.types import Obj

APPLY = "Apply"
UPDATE = "Update"

# Update entries of one object; past it the oldest of a version are merged into one.
UPDATERS_MAX = 10
OLD_UPDATES_MANAGER = "ancient-changes"

# Fields that are nobody's: identity, and what the server itself fills in.
_IDENTITY = frozenset(("apiVersion", "kind"))
_NEVER_OWNED_METADATA = frozenset(
    (
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName",
        "generation", "managedFields", "resourceVersion",
    )
)  # fmt: skip
_NEVER_OWNED = FieldSet.of(
    ("f:metadata",),
    *(("f:" + name,) for name in _IDENTITY),
    *(("f:metadata", "f:" + name) for name in _NEVER_OWNED_METADATA),
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, how and when. ``time`` is RFC 3339 in seconds."""

    manager: str
    api_version: str
    time: str
    subresource: str = ""
    # Top-level fields that this endpoint does not change; None: by the kind (status, or spec).
    reset: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Identity:
    """What makes two entries one: appliers are the same in whatever version they come."""

    manager: str
    operation: str
    api_version: str
    subresource: str


class _Entry:
    """One manager's fields: decoded when first needed, the wire form kept while it holds."""

    __slots__ = ("_fields", "api_version", "time", "wire")

    def __init__(
        self, api_version: str, time: str | None, *, fields: FieldSet | None, wire: Obj | None
    ) -> None:
        self.api_version = api_version
        self.time = time
        self.wire = wire
        self._fields = fields

    @classmethod
    def of(cls, fields: FieldSet, api_version: str, time: str | None) -> "_Entry":
        return cls(api_version, time, fields=fields, wire=None)

    @property
    def fields(self) -> FieldSet:
        if self._fields is None:
            self._fields = FieldSet.from_fields_v1(self.wire or {})
        return self._fields

    def to_wire(self) -> Obj:
        return self.fields.to_fields_v1() if self.wire is None else self.wire

    def without(self, gone: FieldSet) -> "_Entry":
        """The entry less these fields; itself if it has none of them."""
        if self.wire is not None and not touches(self.wire, gone):
            return self
        return _Entry.of(self.fields - gone, self.api_version, self.time)

    def __bool__(self) -> bool:
        return bool(self.wire) or bool(self.fields)


_Managers = dict[_Identity, _Entry]


def record_update(old: Obj | None, new: Obj, node: Node, writer: Writer) -> list[Obj]:
    """The managedFields of ``new`` after a create (``old`` None), update or patch by ``writer``.

    Neither object is changed. ``new`` counts as the client meant it: with defaults, before
    admission plugins add to it.
    """
    if old is None and not new["metadata"].get("managedFields"):
        return _record_create(new, node, writer)
    entries = _entries_before(old, new, writer)
    live = old if old is not None else _empty(new, node)
    try:
        difference = compare(live, new, node).without_below(_ignored(node, writer))
    except ValueError:
        # A list item without its keys: validation says so; nobody owns anything new.
        return list(entries)
    changed = difference.added | difference.modified
    mine = changed - _NEVER_OWNED
    if not mine and not difference.removed:
        return list(entries)
    kept = _same_owners(entries, mine, changed | difference.removed, writer)
    if kept is not None:
        return kept
    managers = _decode(entries)
    gone = changed | difference.removed
    for identity, entry in list(managers.items()):
        _set(managers, identity, entry.without(gone))
    if mine:
        me = _identity(writer, UPDATE)
        before = managers.get(me)
        fields = mine if before is None else before.fields | mine
        managers[me] = _Entry.of(fields, writer.api_version, writer.time)
        _cap(managers)
    return _encode(managers)


def _record_create(new: Obj, node: Node, writer: Writer) -> list[Obj]:
    """The entry of an object's creator, who owns all that it set."""
    never = _IDENTITY.union(_reset(node, writer))
    try:
        fields = created_fields(new, node, never, _NEVER_OWNED_METADATA)
    except ValueError:
        return []
    entry: Obj = {
        "manager": writer.manager,
        "operation": UPDATE,
        "apiVersion": writer.api_version,
        "time": writer.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if writer.subresource:
        entry["subresource"] = writer.subresource
    return [entry] if fields else []


def _same_owners(
    entries: Sequence[Obj], mine: FieldSet, gone: FieldSet, writer: Writer
) -> list[Obj] | None:
    """The entries with the writer's time, if it already owns all that changes and nobody else does.

    Heartbeats and status updates are mostly of this kind. None if it is not so.
    """
    me = _identity(writer, UPDATE)
    found = None
    for entry in entries:
        if _identity_of(entry) == me:
            found = entry
        elif touches(entry.get("fieldsV1") or {}, gone):
            return None
    if found is None or not contains(found["fieldsV1"], mine):
        return None
    if gone.without_below(mine):
        return None  # something of it goes: its own entry shrinks
    rest = [entry for entry in entries if entry is not found]
    return sorted([*rest, {**found, "time": writer.time}], key=_order)


def apply(live: Obj | None, applied: Obj, node: Node, writer: Writer, *, force: bool) -> Obj:
    """The live object (None: it does not exist) after the configuration is applied.

    The result carries its managedFields and shares parts with the inputs; it still has to be
    checked, defaulted and validated. Raises BadRequest or (for fields that are not of the kind, as
    upstream) ApiError 500 for a bad configuration; Conflict, with its causes, if others own what
    would change and ``force`` is not set.
    """
    _refuse_bad_configuration(applied, node, writer)
    base = live if live is not None else _empty(applied, node)
    allowed = EMPTY
    if writer.manager == lastapplied.KUBECTL and not writer.subresource:
        allowed = _from_last_applied(base, node)
    result = _applied(base, applied, node, writer, None if force else allowed)
    if writer.manager == lastapplied.KUBECTL and not writer.subresource:
        result = lastapplied.refreshed(result, applied)
    return result


def _applied(live: Obj, applied: Obj, node: Node, writer: Writer, allowed: FieldSet | None) -> Obj:
    """Merge, prune, check for conflicts; ``allowed`` None allows all of them."""
    managers = _decode(live["metadata"].get("managedFields") or ())
    me = _identity(writer, APPLY)
    last = managers.get(me)
    ignored = _ignored(node, writer)
    try:
        fields = field_set(applied, node).without_below(ignored)
        merged = merge(live, applied, node)
        managers[me] = _Entry.of(fields, writer.api_version, writer.time)
        pruned = _prune(merged, managers, last, node)
        difference = compare(live, pruned, node).without_below(ignored)
    except ValueError as e:
        raise _untyped(applied, [str(e)]) from None
    changed = difference.added | difference.modified
    conflicts = {
        identity: entry.fields & changed
        for identity, entry in managers.items()
        if identity != me and entry.fields & changed
    }
    if allowed is not None and any(c - allowed for c in conflicts.values()):
        raise _conflict({i: c - allowed for i, c in conflicts.items() if c - allowed})
    for identity, entry in list(managers.items()):
        if identity != me:
            _set(managers, identity, entry.without(changed | difference.removed))
    fields = fields - _NEVER_OWNED
    time = writer.time
    if last is not None and not changed and not difference.removed and last.fields == fields:
        time = last.time or writer.time  # an apply that says nothing new leaves no trace
    _set(managers, me, _Entry.of(fields, writer.api_version, time))
    metadata = {k: v for k, v in pruned["metadata"].items() if k != "managedFields"}
    return {**pruned, "metadata": {**metadata, "managedFields": _encode(managers)}}


def _prune(merged: Obj, managers: _Managers, last: _Entry | None, node: Node) -> Obj:
    """Without what the applier owned before, unless somebody (its new self too) owns it."""
    if last is None or not last.fields:
        return merged
    everything = named_fields(field_set(merged, node), node)
    mine_before = named_fields(last.fields, node)
    owned = named_fields(union(entry.fields for entry in managers.values()), node)
    pruned = without(merged, mine_before, node) or {}
    kept = named_fields(field_set(pruned, node), node)
    pruned = without(merged, everything - (kept | owned), node) or {}
    kept = named_fields(field_set(pruned, node), node)
    result: Obj = without(merged, (everything - kept) & mine_before, node) or {}
    # Identity is never pruned, whatever earlier versions recorded.
    identity: Obj = {k: merged[k] for k in ("apiVersion", "kind") if k in merged}
    return {**identity, **result, "metadata": result.get("metadata") or merged["metadata"]}


def _refuse_bad_configuration(applied: Obj, node: Node, writer: Writer) -> None:
    if not isinstance(applied.get("metadata"), dict):
        raise BadRequest("failed to apply: metadata must be an object")
    if applied["metadata"].get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    version = applied.get("apiVersion")
    if version != writer.api_version:
        raise BadRequest(
            "Incorrect version specified in apply patch. Specified patch version: "
            f"{version}, expected: {writer.api_version}"
        )
    problems = list(type_problems(applied, node))
    if problems:
        raise _untyped(applied, problems)


def _untyped(applied: Obj, problems: Sequence[str]) -> ApiError:
    """What upstream says, as an error without a reason, hence 500."""
    metadata = applied["metadata"]
    name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    group, _, version = applied["apiVersion"].rpartition("/")
    kind = f"{group}/{version}, Kind={applied.get('kind', '')}"
    why = problems[0] if len(problems) == 1 else "\n  ".join(["errors:", *problems])
    return ApiError(f"failed to create typed patch object ({name}; {kind}): {why}")


def _from_last_applied(live: Obj, node: Node) -> FieldSet:
    """What kubectl's client-side apply last set: ``kubectl apply --server-side`` may take it."""
    last = lastapplied.of(live)
    if last is None or last.get("apiVersion") != live.get("apiVersion", last.get("apiVersion")):
        return EMPTY
    try:
        return field_set(last, node)
    except ValueError:
        return EMPTY


def _conflict(conflicts: Mapping[_Identity, FieldSet]) -> Conflict:
    """409 with a cause for each field, as ``NewApplyConflict``."""
    found: list[tuple[str, Path]] = [
        (_show_manager(identity), path)
        for identity in sorted(conflicts, key=lambda i: i.manager)
        for path in conflicts[identity].paths()
    ]
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {manager}",
            "field": show_path(path),
        }
        for manager, path in found
    ]
    if len(found) == 1:
        manager, path = found[0]
        message = f"Apply failed with 1 conflict: conflict with {manager}: {show_path(path)}"
    else:
        lines: dict[str, list[str]] = {}
        for manager, path in found:
            lines.setdefault(manager, [f"conflicts with {manager}:"]).append(f"- {show_path(path)}")
        text = "\n".join(line for block in lines.values() for line in block)
        message = f"Apply failed with {len(found)} conflicts: {text}"
    return Conflict(message, details={"causes": causes})


def _show_manager(identity: _Identity) -> str:
    text = f'"{identity.manager}"'
    if identity.subresource:
        text += f' with subresource "{identity.subresource}"'
    return f"{text} using {identity.api_version}" if identity.operation == UPDATE else text


def _empty(new: Obj, node: Node) -> Obj:
    """What an object is compared with that did not exist: its kind's zero value."""
    zero = zero_value(node) if node.go else {}
    kind = {k: new[k] for k in ("apiVersion", "kind") if k in new}
    return {**zero, **kind, "metadata": zero.get("metadata") or {}}


def _ignored(node: Node, writer: Writer) -> FieldSet:
    ignored = FieldSet()
    ignored.members.update("f:" + name for name in _reset(node, writer))
    return ignored


def _reset(node: Node, writer: Writer) -> Sequence[str]:
    """The top-level fields that a write to this endpoint does not change."""
    if writer.reset is not None:
        return writer.reset
    if writer.subresource == "status":
        return ("spec",)
    if not writer.subresource and node.go and "status" in node.fields:
        return ("status",)
    return ()


def _entries_before(old: Obj | None, new: Obj, writer: Writer) -> Sequence[Obj]:
    """The entries to start from: what the client sent, if it is sound, else the stored ones."""
    live: Sequence[Obj] = (old or {}).get("metadata", {}).get("managedFields") or ()
    if writer.subresource:
        return live
    sent: Sequence[Obj] = new["metadata"].get("managedFields") or ()
    if sent == live:
        return live
    if len(sent) == 1 and not sent[0]:
        return ()  # the documented way to reset: managedFields: [{}]
    return _encode(_decode_sent(sent)) or live


def _identity(writer: Writer, operation: str) -> _Identity:
    version = "" if operation == APPLY else writer.api_version
    return _Identity(writer.manager, operation, version, writer.subresource)


def _identity_of(entry: Obj) -> _Identity:
    operation = entry.get("operation", "")
    version = "" if operation == APPLY else entry.get("apiVersion", "")
    return _Identity(entry.get("manager", ""), operation, version, entry.get("subresource", ""))


def _set(managers: _Managers, identity: _Identity, entry: _Entry) -> None:
    if entry:
        managers[identity] = entry
    else:
        managers.pop(identity, None)


def _cap(managers: _Managers) -> None:
    """Merge the oldest updaters of a version, so that no object collects them without bound."""
    updaters = [i for i in managers if i.operation == UPDATE]
    if len(updaters) <= UPDATERS_MAX:
        return
    updaters.sort(key=lambda i: (managers[i].time or "", i.manager))
    count = len(updaters)
    first_of_version: dict[str, _Identity] = {}
    for identity in updaters:
        if count <= UPDATERS_MAX:
            return
        entry = managers[identity]
        first = first_of_version.get(entry.api_version)
        if first is None:
            first_of_version[entry.api_version] = identity
            continue
        bucket = _Identity(OLD_UPDATES_MANAGER, UPDATE, entry.api_version, "")
        if bucket not in managers:
            managers[bucket] = managers.pop(first)
        if identity != bucket:
            fields = managers[bucket].fields | managers.pop(identity).fields
            managers[bucket] = _Entry.of(fields, entry.api_version, entry.time)
            count -= 1


def _decode(entries: Iterable[Obj]) -> _Managers:
    """Managers by identity, of entries that an earlier write has stored."""
    return {
        _identity_of(e): _Entry(
            e.get("apiVersion", ""), e.get("time"), fields=None, wire=e.get("fieldsV1") or {}
        )
        for e in entries
    }


def _decode_sent(entries: Sequence[Any]) -> _Managers:
    """Managers of entries that a client sent; {} if any is not sound, as upstream takes none."""
    managers: _Managers = {}
    for entry in entries:
        try:
            identity = _identity_of(entry)
            fields = FieldSet.from_fields_v1(entry.get("fieldsV1") or {})
        except (TypeError, AttributeError, ValueError):
            return {}
        if identity.operation not in (APPLY, UPDATE):
            return {}
        managers[identity] = _Entry.of(fields, entry.get("apiVersion", ""), entry.get("time"))
    return managers


def _encode(managers: _Managers) -> list[Obj]:
    """The entries in upstream's order."""
    return sorted((_encode_entry(i, e) for i, e in managers.items()), key=_order)


def _order(entry: Obj) -> tuple[str, ...]:
    """Appliers first, then by time, then by name."""
    keys = ("operation", "time", "manager", "apiVersion", "subresource")
    return tuple(entry.get(key) or "" for key in keys)


def _encode_entry(identity: _Identity, entry: _Entry) -> Obj:
    out: Obj = {"manager": identity.manager, "operation": identity.operation}
    out["apiVersion"] = entry.api_version
    if entry.time:
        out["time"] = entry.time
    out |= {"fieldsType": "FieldsV1", "fieldsV1": entry.to_wire()}
    if identity.subresource:
        out["subresource"] = identity.subresource
    return out
