"""The type checker: what every node is, and which overloads a call may mean (cel-go's rules)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sagong.api.cel.ast import (
    Call,
    Comprehension,
    Const,
    Expr,
    Ident,
    ListExpr,
    MapExpr,
    Select,
    StructExpr,
)
from sagong.api.cel.declarations import Functions, Overload
from sagong.api.cel.errors import CompileError, Issue
from sagong.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Kind,
    Substitutions,
    Type,
    is_optional,
    list_of,
    map_of,
    most_general,
    optional_of,
    param,
    type_of,
    unwrapped,
)
from sagong.api.cel.values import Uint

_CONSTANTS: Mapping[type, Type] = {
    bool: BOOL,
    int: INT,
    Uint: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    type(None): NULL,
}
TYPE_NAMES: Mapping[str, Type] = {
    "bool": type_of(BOOL),
    "int": type_of(INT),
    "uint": type_of(UINT),
    "double": type_of(DOUBLE),
    "string": type_of(STRING),
    "bytes": type_of(BYTES),
    "null_type": type_of(NULL),
    "list": type_of(list_of(DYN)),
    "map": type_of(map_of(DYN, DYN)),
    "type": type_of(Type(Kind.TYPE, "type")),
    "optional_type": type_of(optional_of(DYN)),
    "google.protobuf.Timestamp": type_of(TIMESTAMP),
    "google.protobuf.Duration": type_of(DURATION),
}


def check(
    text: str,
    tree: Expr,
    *,
    variables: Mapping[str, Type],
    functions: Functions,
    structs: Mapping[str, Type],
) -> Type:
    """The type of an expression; annotates the tree. Raises CompileError."""
    checker = _Checker(variables, functions, structs)
    checker.check(tree)
    if checker.issues:
        raise CompileError(text, checker.issues)
    checker.settle(tree)
    return tree.type


class _Checker:
    def __init__(
        self, variables: Mapping[str, Type], functions: Functions, structs: Mapping[str, Type]
    ) -> None:
        self._scopes: list[dict[str, Type]] = []
        self._variables = variables
        self._functions = functions
        self._structs = structs
        self._known = Substitutions()
        self._fresh = 0
        self.issues: list[Issue] = []

    def check(self, node: Expr) -> Type:
        """Find and note the type of a node and of all below it."""
        node.type = _CHECKS[type(node)](self, node)
        return node.type

    def settle(self, node: Expr) -> None:
        """Write what type parameters turned out to be into the tree; the unknown are dyn."""
        node.type = self._known.applied(node.type, params_are_dyn=True)
        for child in node.children():
            self.settle(child)

    def _say(self, node_pos: int, message: str) -> Type:
        self.issues.append(Issue(node_pos, message))
        return ERROR

    def _variable(self) -> Type:
        self._fresh += 1
        return param(f"_var{self._fresh - 1}")

    def _assign(self, given: Type, wanted: Type) -> bool:
        return self._assign_all((given,), (wanted,))

    def _assign_all(self, given: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
        tried = self._known.copy()
        if not tried.assign_all(given, wanted):
            return False
        self._known = tried
        return True

    def _shown(self, type_: Type) -> str:
        return str(self._known.applied(type_, params_are_dyn=True))

    def _mismatch(self, pos: int, wanted: Type, found: Type) -> Type:
        message = f"expected type '{self._shown(wanted)}' but found '{self._shown(found)}'"
        return self._say(pos, message)

    def _lookup(self, name: str) -> Type | None:
        if name.startswith("."):
            name = name[1:]
        else:
            for scope in reversed(self._scopes):
                if name in scope:
                    return scope[name]
        found = self._variables.get(name)
        return found if found is not None else TYPE_NAMES.get(name)

    def _is_local(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def const(self, node: Const) -> Type:
        return _CONSTANTS[type(node.value)]

    def ident(self, node: Ident) -> Type:
        found = self._lookup(node.name)
        if found is not None:
            return found
        named = self._structs.get(node.name)
        if named is not None:
            return type_of(named)
        return self._undeclared(node.pos, node.name)

    def _undeclared(self, pos: int, name: str) -> Type:
        return self._say(pos, f"undeclared reference to '{name}' (in container '')")

    def select(self, node: Select) -> Type:
        name = qualified_name(node)
        if name and not node.test_only and not self._is_local(name.partition(".")[0]):
            found = self._lookup(name)
            if found is not None:
                node.qualified = name
                return found
        operand = self._known.applied(self.check(node.operand))
        result = self._field(node.pos, operand, node.field)
        return BOOL if node.test_only else result

    def _field(self, pos: int, operand: Type, field: str, *, optional: bool = False) -> Type:
        target = unwrapped(operand)
        result = ERROR
        if target.kind is Kind.MAP:
            result = target.params[1]
        elif target.kind is Kind.STRUCT:
            known = target.fields.get(field)
            result = self._say(pos, f"undefined field '{field}'") if known is None else known.type
        elif target.kind is Kind.PARAM:
            self._assign(DYN, target)
            result = DYN
        else:
            if not target.is_dyn:
                shown = self._shown(target)
                self._say(pos, f"type '{shown}' does not support field selection")
            result = DYN
        return optional_of(result) if optional or is_optional(operand) else result

    def call(self, node: Call) -> Type:
        if node.function == "_?._":
            return self._optional_select(node)
        if node.target is None:
            given = [self.check(arg) for arg in node.args]
            overloads = self._functions.get(node.function.removeprefix("."))
            if overloads is None:
                return self._undeclared(node.pos, node.function)
            node.function = node.function.removeprefix(".")
            return self._resolve(node, overloads, given)
        prefix = qualified_name(node.target)
        if prefix and not self._is_local(prefix.partition(".")[0]):
            full = f"{prefix.removeprefix('.')}.{node.function}"
            overloads = self._functions.get(full)
            if overloads is not None:
                node.function, node.target = full, None
                return self._resolve(node, overloads, [self.check(arg) for arg in node.args])
        given = [self.check(node.target), *[self.check(arg) for arg in node.args]]
        overloads = self._functions.get(node.function)
        if overloads is None:
            return self._undeclared(node.pos, node.function)
        return self._resolve(node, overloads, given)

    def _optional_select(self, node: Call) -> Type:
        operand, field = node.args
        target = self._known.applied(self.check(operand))
        self.check(field)
        assert isinstance(field, Const)
        node.overloads = ("select_optional_field",)
        return self._field(node.pos, target, field.value, optional=True)

    def _resolve(self, node: Call, overloads: Sequence[Overload], given: list[Type]) -> Type:
        matching: list[str] = []
        result: Type | None = None
        is_member = node.target is not None
        arguments = tuple(given)
        for overload in overloads:
            if overload.member is not is_member or len(overload.args) != len(arguments):
                continue
            wanted, outcome = self._instance(overload)
            if not self._assign_all(arguments, wanted):
                continue
            matching.append(overload.id)
            found = self._known.applied(outcome)
            if result is None:
                result = found
            elif not result.is_dyn and found != result:
                result = DYN
        if result is None:
            return self._no_match(node, arguments)
        node.overloads = tuple(matching)
        return result

    def _instance(self, overload: Overload) -> tuple[tuple[Type, ...], Type]:
        """An overload's types with type parameters of their own."""
        names: dict[Type, Type] = {}
        for type_ in (*overload.args, overload.result):
            _collect_params(type_, names)
        if not names:
            return overload.args, overload.result
        fresh = Substitutions({name: self._variable() for name in names})
        return tuple(fresh.applied(arg) for arg in overload.args), fresh.applied(overload.result)

    def _no_match(self, node: Call, given: tuple[Type, ...]) -> Type:
        shown = [self._shown(type_) for type_ in given]
        signature = f"({', '.join(shown)})"
        if node.target is not None:
            signature = f"{shown[0]}.({', '.join(shown[1:])})"
        message = f"found no matching overload for '{node.function}' applied to '{signature}'"
        return self._say(node.pos, message)

    def list_(self, node: ListExpr) -> Type:
        element: Type | None = None
        for i, item in enumerate(node.elements):
            found = self.check(item)
            if i in node.optional:
                found = self._unwrapped_optional(item, found)
            element = self._joined(item.pos, element, found)
        return list_of(self._variable() if element is None else element)

    def _unwrapped_optional(self, node: Expr, found: Type) -> Type:
        if found.is_dyn:
            return DYN
        if not is_optional(found):
            return self._mismatch(node.pos, optional_of(found), found)
        return unwrapped(found)

    def _joined(self, pos: int, previous: Type | None, current: Type) -> Type:
        """The type of an aggregate's members so far; Kubernetes wants them to agree."""
        if previous is None:
            return current
        if self._assign(previous, current):
            return most_general(previous, current)
        return self._mismatch(pos, previous, current)

    def map_(self, node: MapExpr) -> Type:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            key = self._joined(entry.key.pos, key, self.check(entry.key))
            found = self.check(entry.value)
            if entry.optional:
                found = self._unwrapped_optional(entry.value, found)
            value = self._joined(entry.value.pos, value, found)
        return map_of(
            self._variable() if key is None else key, self._variable() if value is None else value
        )

    def struct(self, node: StructExpr) -> Type:
        found = self._structs.get(node.name.removeprefix("."))
        if found is None:
            for field in node.fields:
                self.check(field.value)
            return self._undeclared(node.pos, node.name)
        for field in node.fields:
            given = self.check(field.value)
            if field.optional:
                given = self._unwrapped_optional(field.value, given)
            known = found.fields.get(field.name)
            if known is None:
                self._say(field.pos, f"undefined field '{field.name}'")
            elif not self._assign(known.type, given):
                shown = self._shown(given)
                message = f"expected type of field '{field.name}' is "
                message += f"'{self._shown(known.type)}' but provided type is '{shown}'"
                self._say(field.pos, message)
        return found

    def comprehension(self, node: Comprehension) -> Type:
        over = self._known.applied(self.check(node.iter_range))
        accumulated = self.check(node.init)
        names = self._iterated(node, over)
        self._scopes.append({node.accu_var: accumulated})
        self._scopes.append(names)
        found = self.check(node.condition)
        if not self._assign(found, BOOL):
            self._mismatch(node.condition.pos, BOOL, found)
        found = self.check(node.step)
        if not self._assign(accumulated, found):
            self._mismatch(node.step.pos, accumulated, found)
        self._scopes.pop()
        result = self._known.applied(self.check(node.result))
        self._scopes.pop()
        return result

    def _iterated(self, node: Comprehension, over: Type) -> dict[str, Type]:
        first: Type = ERROR
        second: Type = ERROR
        if over.kind is Kind.LIST:
            first, second = over.params[0], over.params[0]
            if node.iter_var2:
                first = INT
        elif over.kind is Kind.MAP:
            first, second = over.params
        elif over.is_dyn or over.kind is Kind.PARAM:
            if over.kind is Kind.PARAM:
                self._assign(over, DYN)
            first = second = DYN
        else:
            shown = self._shown(over)
            message = f"expression of type '{shown}' cannot be range of a comprehension "
            self._say(node.iter_range.pos, message + "(must be list, map, or dynamic)")
        names = {node.iter_var: first}
        if node.iter_var2:
            names[node.iter_var2] = second
        return names


def qualified_name(node: Expr) -> str:
    """``a.b.c`` if that is what the node says, else nothing."""
    parts: list[str] = []
    while isinstance(node, Select) and not node.test_only:
        parts.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return ""
    parts.append(node.name)
    return ".".join(reversed(parts))


def _collect_params(type_: Type, names: dict[Type, Type]) -> None:
    if type_.kind is Kind.PARAM:
        names[type_] = type_
    for inner in type_.params:
        _collect_params(inner, names)


_CHECKS: Mapping[type[Expr], Callable[[_Checker, Any], Type]] = {
    Const: _Checker.const,
    Ident: _Checker.ident,
    Select: _Checker.select,
    Call: _Checker.call,
    ListExpr: _Checker.list_,
    MapExpr: _Checker.map_,
    StructExpr: _Checker.struct,
    Comprehension: _Checker.comprehension,
}
