"""What an expression may refer to, and what it becomes: text in, ``Program`` out.

env = Environment(libraries=KUBERNETES, variables={"object": DYN})
program = env.compile("object.spec.replicas <= 5", (BOOL,))
program.evaluate({"object": deployment})        # a value; raises EvaluationError, CostExceeded
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagong.api.cel.ast import Expr
from sagong.api.cel.checker import check
from sagong.api.cel.declarations import Functions
from sagong.api.cel.errors import (
    CompileError,
    CostExceeded,
    EvaluationError,
    Issue,
    Unfit,
)
from sagong.api.cel.evaluation import BUDGET, Compiler, Run
from sagong.api.cel.lexer import Unreadable
from sagong.api.cel.literal_checks import literal_issues
from sagong.api.cel.parser import DEPTH_MAX, parse
from sagong.api.cel.types import Type, declared_name

# What one evaluation of one expression may cost (upstream: PerCallLimit).
COST_MAX = 1_000_000
# Python's own limit of nesting shows as this: parsed text is at most this deep anyway.
_TOO_DEEP = f"expression recursion limit exceeded: {DEPTH_MAX}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A value, and what it cost."""

    value: Any
    cost: int


class Program:
    """A compiled expression. Immutable: may be run for many inputs at once."""

    __slots__ = ("_run", "_slots", "_used", "text", "tree", "type")

    def __init__(self, text: str, tree: Expr, run: Run, used: Mapping[str, int], slots: int):
        self.text = text
        self.tree = tree
        self.type = tree.type
        self._run = run
        self._used = tuple(used.items())
        self._slots = slots

    @property
    def variables(self) -> frozenset[str]:
        """The variables that the expression refers to."""
        return frozenset(name for name, _ in self._used)

    def evaluate(self, variables: Mapping[str, Any], *, cost_max: int = COST_MAX) -> Any:
        """The value. Raises EvaluationError, CostExceeded."""
        return self.run(variables, cost_max=cost_max).value

    def run(self, variables: Mapping[str, Any], *, cost_max: int = COST_MAX) -> Outcome:
        """The value and its cost. Raises EvaluationError, CostExceeded."""
        frame: list[Any] = [None] * self._slots
        frame[BUDGET] = cost_max
        for name, slot in self._used:
            if name not in variables:
                raise EvaluationError(f"no such attribute(s): {name}")
            frame[slot] = variables[name]
        try:
            value = self._run(frame)
        except RecursionError:
            raise EvaluationError(_TOO_DEEP) from None
        except (TypeError, AttributeError, ValueError, OverflowError, LookupError) as error:
            # A value of another type than was declared.
            raise EvaluationError("no such overload") from error
        if frame[BUDGET] < 0:
            raise CostExceeded
        return Outcome(value, cost_max - frame[BUDGET])


class Environment:
    """Variables, functions and struct types; ``extended`` makes another with more."""

    def __init__(
        self,
        *,
        functions: Functions,
        variables: Mapping[str, Type] | None = None,
        structs: Mapping[str, Type] | None = None,
    ) -> None:
        self.functions = functions
        self.variables = dict(variables or {})
        # As it is: a mapping may know names that it cannot list (``Object.spec.template``).
        self.structs: Mapping[str, Type] = {} if structs is None else structs

    def extended(self, variables: Mapping[str, Type]) -> "Environment":
        """The same with more variables."""
        return Environment(
            functions=self.functions,
            variables={**self.variables, **variables},
            structs=self.structs,
        )

    def checked(self, text: str) -> Expr:
        """The typed tree. Raises CompileError."""
        try:
            tree = _parsed(text)
            check(
                text,
                tree,
                variables=self.variables,
                functions=self.functions,
                structs=self.structs,
            )
            issues = literal_issues(tree)
        except RecursionError:
            raise CompileError(text, [Issue(-1, _TOO_DEEP)]) from None
        if issues:
            raise CompileError(text, issues)
        return tree

    def compile(self, text: str) -> Program:
        """A program. Raises CompileError."""
        return self.program(text, self.checked(text))

    def compile_as(self, text: str, *wanted: Type) -> Program:
        """A program whose value is of one of the types. Raises Unfit."""
        try:
            tree = self.checked(text)
            if not any(tree.type == type_ for type_ in wanted):
                names = [declared_name(type_) for type_ in wanted]
                due = names[0] if len(names) == 1 else f"one of [{' '.join(names)}]"
                raise Unfit(f"must evaluate to {due} but got {declared_name(tree.type)}")
            return self.program(text, tree)
        except CompileError as error:
            raise Unfit(f"compilation failed: {error}") from None

    def program(self, text: str, tree: Expr) -> Program:
        """The program of a checked tree."""
        compiler = Compiler(self.functions, self.structs)
        try:
            run = compiler.compile(tree)
        except RecursionError:
            raise CompileError(text, [Issue(-1, _TOO_DEEP)]) from None
        return Program(text, tree, run, compiler.variables, compiler.slots)


def _parsed(text: str) -> Expr:
    try:
        return parse(text)
    except Unreadable:
        # Imported here: ANTLR's runtime is needed for nothing but the words of a syntax error.
        from sagong.api.cel.syntax import syntax_issues

        raise CompileError(text, syntax_issues(text)) from None
