"""Tokens to a syntax tree, for text that follows the grammar; macros are expanded on the way.

Precedence climbing, three Python frames for each level of parentheses. What is not accepted raises
``Unreadable``: the caller asks ``syntax`` what ANTLR's parser would say. Positions, the shape of
the tree (balanced ``&&`` and ``||``) and the depth that is refused are cel-go's.
"""

from collections.abc import Sequence

from sagong.api.cel import literals
from sagong.api.cel.ast import (
    Call,
    Const,
    Entry,
    Expr,
    FieldInit,
    Ident,
    ListExpr,
    MapExpr,
    Select,
    StructExpr,
)
from sagong.api.cel.errors import CompileError, Issue
from sagong.api.cel.lexer import Tok, Token, Unreadable, tokens_of
from sagong.api.cel.macros import MACROS, MacroError

RESERVED = frozenset(
    (
        "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import",
        "in", "let", "loop", "package", "namespace", "null", "return", "true", "var", "void",
        "while",
    )
)  # fmt: skip
DEPTH_MAX = 250  # cel-go's default; deeper text is refused, not parsed
_LEVELS = {
    "||": 1, "&&": 2,
    "<": 3, "<=": 3, ">": 3, ">=": 3, "==": 3, "!=": 3, "in": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_NAMES = {
    "<": "_<_", "<=": "_<=_", ">": "_>_", ">=": "_>=_", "==": "_==_", "!=": "_!=_", "in": "@in",
    "+": "_+_", "-": "_-_", "*": "_*_", "/": "_/_", "%": "_%_", "||": "_||_", "&&": "_&&_",
}  # fmt: skip


def parse(text: str) -> Expr:
    """The tree of an expression. Raises Unreadable, CompileError."""
    parser = _Parser(tokens_of(text))
    tree = parser.expr()
    if parser.token.kind is not Tok.END:
        raise Unreadable("text after the expression")
    if parser.issues:
        raise CompileError(text, parser.issues)
    return tree


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.token = tokens[0]
        self.issues: list[Issue] = []
        self._depth = 0  # of nested expressions
        self._chained = {3: 0, 4: 0, 6: 0}  # of left-recursive rules: relation, calc, member

    def expr(self) -> Expr:
        """``e ? e1 : e2`` and everything that binds stronger."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _too_deep()
        tree = self._binary(1)
        if self._is("?"):
            pos = self._next().pos
            then = self._binary(1)
            self._expect(":")
            otherwise = self.expr()
            tree = Call(pos, "_?_:_", [tree, then, otherwise], None)
        self._depth -= 1
        return tree

    def _binary(self, level: int) -> Expr:
        left = self._unary() if self._is_sign() else self._member(self._primary())
        chains = {3: 0, 4: 0}
        while self.token.kind is Tok.SIGN:
            found = _LEVELS.get(self.token.text)
            if found is None or found < level:
                break
            if found <= 2:
                left = self._logical(left, self.token.text, found)
                continue
            rule = min(found, 4)
            chains[rule] += 1
            self._chained[rule] += 1
            if self._chained[rule] >= DEPTH_MAX:
                raise _too_deep()
            token = self._next()
            right = self._binary(found + 1)
            left = Call(token.pos, _NAMES[token.text], [left, right], None)
        for rule, count in chains.items():
            self._chained[rule] -= count
        return left

    def _logical(self, first: Expr, sign: str, level: int) -> Expr:
        """Terms joined by one operator, as a balanced tree."""
        terms, positions = [first], []
        while self._is(sign):
            positions.append(self._next().pos)
            terms.append(self._binary(level + 1))

        def tree(low: int, high: int) -> Expr:
            middle = (low + high + 1) // 2
            left = terms[middle] if middle == low else tree(low, middle - 1)
            right = terms[middle + 1] if middle == high else tree(middle + 1, high)
            return Call(positions[middle], _NAMES[sign], [left, right], None)

        return tree(0, len(positions) - 1)

    def _is_sign(self) -> bool:
        return self.token.kind is Tok.SIGN and self.token.text in ("!", "-")

    def _unary(self) -> Expr:
        sign = self.token
        count, last = 0, sign
        while self._is(sign.text):
            count, last = count + 1, self._next()
        if sign.text == "-" and self.token.kind in (Tok.INT, Tok.FLOAT):
            # The last sign belongs to the number.
            literal = Const(last.pos, self._number("-" + self._next().text, last.pos))
            operand, count = self._member(literal), count - 1
            if count == 0:
                return operand
        else:
            operand = self._member(self._primary())
        if count % 2 == 0:
            return operand
        return Call(sign.pos, "!_" if sign.text == "!" else "-_", [operand], None)

    def _member(self, tree: Expr) -> Expr:
        count = 0
        while self.token.kind is Tok.SIGN:
            if self.token.text == ".":
                tree = self._dotted(tree, self._next())
            elif self.token.text == "[":
                tree = self._indexed(tree, self._next())
            else:
                break
            count += 1
            self._chained[6] += 1
            if self._chained[6] >= DEPTH_MAX:
                raise _too_deep()
        self._chained[6] -= count
        return tree

    def _dotted(self, operand: Expr, dot: Token) -> Expr:
        optional = self._take("?")
        token = self._next()
        if token.kind is Tok.ESCAPED:
            name = token.text[1:-1]
        elif token.kind is Tok.IDENT:
            name = token.text
        else:
            raise Unreadable("no name after a dot")
        if optional:
            return Call(dot.pos, "_?._", [operand, Const(token.pos, name)], None)
        if token.kind is Tok.IDENT and self._is("("):
            opening = self._next()
            return self._call(opening.pos, name, self._arguments(")"), operand)
        return Select(dot.pos, operand, name)

    def _indexed(self, operand: Expr, bracket: Token) -> Expr:
        function = "_[?_]" if self._take("?") else "_[_]"
        index = self.expr()
        self._expect("]")
        return Call(bracket.pos, function, [operand, index], None)

    def _primary(self) -> Expr:
        token = self._next()
        kind = token.kind
        if kind is Tok.IDENT:
            return self._name(token, token.text)
        if kind is Tok.SIGN:
            if token.text == "(":  # here, not a call deeper: it is what nests deepest
                tree = self.expr()
                self._expect(")")
                return tree
            return self._signed_primary(token)
        if kind in (Tok.INT, Tok.FLOAT, Tok.UINT):
            return Const(token.pos, self._number(token.text, token.pos))
        if kind is Tok.STRING or kind is Tok.BYTES:
            return Const(token.pos, self._quoted(token))
        raise Unreadable("no expression")

    def _signed_primary(self, token: Token) -> Expr:
        if token.text == "[":
            return self._list(token.pos)
        if token.text == "{":
            return MapExpr(token.pos, self._entries())
        if token.text in ("true", "false"):
            return Const(token.pos, token.text == "true")
        if token.text == "null":
            return Const(token.pos, None)
        if token.text == "." and self.token.kind is Tok.IDENT:
            return self._name(token, "." + self._next().text)
        raise Unreadable("no expression")

    def _name(self, token: Token, name: str) -> Expr:
        """An identifier, a call of a function, or the literal of a message."""
        if self._is("("):
            opening = self._next()
            return self._call(opening.pos, name, self._arguments(")"), None)
        message = self._message(name)
        if message is not None:
            return message
        if name.removeprefix(".") in RESERVED:
            self.issues.append(Issue(token.pos, f"reserved identifier: {name}"))
        return Ident(token.pos, name)

    def _message(self, name: str) -> Expr | None:
        """``a.b.C{...}``: dotted names up to a brace are one type's name."""
        ahead = self._at
        parts = [name]
        while self._tokens[ahead].text == "." and self._tokens[ahead + 1].kind is Tok.IDENT:
            parts.append(self._tokens[ahead + 1].text)
            ahead += 2
        if self._tokens[ahead].text != "{" or self._tokens[ahead].kind is not Tok.SIGN:
            return None
        self._at = ahead
        self.token = self._tokens[ahead]
        brace = self._next()
        return StructExpr(brace.pos, ".".join(parts), self._field_inits())

    def _call(self, pos: int, name: str, args: list[Expr], target: Expr | None) -> Expr:
        macro = MACROS.get((name, len(args), target is not None))
        if macro is None:
            return Call(pos, name, args, target)
        try:
            expanded = macro(pos, target, args)
        except MacroError as error:
            self.issues.append(error.issue)
            return Const(pos, None)
        return Call(pos, name, args, target) if expanded is None else expanded

    def _arguments(self, closing: str) -> list[Expr]:
        found: list[Expr] = []
        if self._take(closing):
            return found
        while True:
            found.append(self.expr())
            if not self._take(","):
                break
        self._expect(closing)
        return found

    def _list(self, pos: int) -> Expr:
        elements: list[Expr] = []
        optional: list[int] = []
        while not self._is("]") and not (not elements and self._is(",")):
            if self._take("?"):
                optional.append(len(elements))
            elements.append(self.expr())
            if not self._take(","):
                break
        if not elements:
            self._take(",")
        self._expect("]")
        return ListExpr(pos, elements, optional)

    def _entries(self) -> list[Entry]:
        entries: list[Entry] = []
        while not self._is("}") and not (not entries and self._is(",")):
            optional = self._take("?")
            key = self.expr()
            colon = self._expect(":")
            entries.append(Entry(colon.pos, key, self.expr(), optional=optional))
            if not self._take(","):
                break
        if not entries:
            self._take(",")
        self._expect("}")
        return entries

    def _field_inits(self) -> list[FieldInit]:
        fields: list[FieldInit] = []
        while not self._is("}") and not (not fields and self._is(",")):
            optional = self._take("?")
            token = self._next()
            if token.kind not in (Tok.IDENT, Tok.ESCAPED):
                raise Unreadable("no field")
            name = token.text.strip("`")
            colon = self._expect(":")
            fields.append(FieldInit(colon.pos, name, self.expr(), optional=optional))
            if not self._take(","):
                break
        if not fields:
            self._take(",")
        self._expect("}")
        return fields

    def _number(self, text: str, pos: int) -> object:
        try:
            if text[-1] in "uU":
                return literals.uint_of(text)
            if "0x" not in text and any(char in text for char in ".eE"):
                return literals.double_of(text)
            return literals.int_of(text)
        except ValueError as error:
            self.issues.append(Issue(pos, str(error)))
            return 0

    def _quoted(self, token: Token) -> object:
        try:
            if token.kind is Tok.BYTES:
                return literals.bytes_of(token.text)
            return literals.string_of(token.text)
        except ValueError as error:
            self.issues.append(Issue(token.pos, str(error)))
            return ""

    def _is(self, sign: str) -> bool:
        return self.token.kind is Tok.SIGN and self.token.text == sign

    def _take(self, sign: str) -> bool:
        if self._is(sign):
            self._next()
            return True
        return False

    def _expect(self, sign: str) -> Token:
        if not self._is(sign):
            raise Unreadable(f"no {sign}")
        return self._next()

    def _next(self) -> Token:
        token = self.token
        if token.kind is not Tok.END:
            self._at += 1
            self.token = self._tokens[self._at]
        return token


def _too_deep() -> CompileError:
    return CompileError("", [Issue(-1, f"expression recursion limit exceeded: {DEPTH_MAX}")])
