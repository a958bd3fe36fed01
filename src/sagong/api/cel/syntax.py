"""What ANTLR's parser for CEL says of text that does not follow the grammar.

cel-go's syntax errors are those of its generated parser: which tokens were expected, how it
recovers, how many errors follow from one. So text that our own parser refuses is read once more by
ANTLR's runtime over the tables of the grammar (``grammar/``; ``scripts/cel-grammar`` makes them).
It takes milliseconds and is imported for errors only.

ANTLR generates code that decides by one token of look-ahead where that suffices, and asks the
prediction engine elsewhere; errors differ by which it was. ``_Interpreter`` walks the tables in the
same way. (The runtime's own ``ParserInterpreter`` always predicts, and does not work in Python.)
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import orjson
from antlr4 import CommonTokenStream, InputStream, Lexer, Parser, ParserRuleContext, Token
from antlr4.atn.ATN import ATN
from antlr4.atn.ATNDeserializer import ATNDeserializer
from antlr4.atn.ATNState import ATNState
from antlr4.atn.LexerATNSimulator import LexerATNSimulator
from antlr4.atn.ParserATNSimulator import ParserATNSimulator
from antlr4.atn.Transition import Transition
from antlr4.dfa.DFA import DFA
from antlr4.error.ErrorListener import ErrorListener
from antlr4.error.Errors import (
    FailedPredicateException,
    NoViableAltException,
    RecognitionException,
)
from antlr4.IntervalSet import IntervalSet
from antlr4.LL1Analyzer import LL1Analyzer
from antlr4.PredictionContext import PredictionContext, PredictionContextCache

from sagong.api.cel.errors import Issue
from sagong.api.cel.parser import DEPTH_MAX

# Past this many the text is no expression; cel-go stops there as well.
ISSUES_MAX = 100
_RESERVED = re.compile(r"no viable alternative at input '.(true|false|null)'")
_LOOPS = (ATNState.STAR_LOOP_ENTRY, ATNState.PLUS_LOOP_BACK)


def syntax_issues(text: str) -> Sequence[Issue]:
    """The issues of a text that is not CEL."""
    listener = _Listener(text)
    lexer = _Reader(InputStream(text))
    lexer.removeErrorListeners()
    lexer.addErrorListener(listener)
    parser = _Interpreter(CommonTokenStream(lexer))
    parser.removeErrorListeners()
    parser.addErrorListener(listener)
    try:
        parser.rule(0, 0)
    except _Enough:
        pass
    except RecursionError:
        return [Issue(-1, f"expression recursion limit exceeded: {DEPTH_MAX}")]
    # Our parser refuses what ANTLR's accepts only if it has a bug; it is refused all the same.
    return listener.issues or [Issue(0, "Syntax error: invalid expression")]


class _Enough(Exception):
    """So many errors that the rest says nothing."""


class _Listener(ErrorListener):  # type: ignore[misc]
    def __init__(self, text: str) -> None:
        super().__init__()
        self.issues: list[Issue] = []
        self._starts = [0, *(i + 1 for i, char in enumerate(text) if char == "\n")]

    def syntaxError(
        self, recognizer: Any, symbol: Any, line: int, column: int, msg: str, e: Any
    ) -> None:
        offset = self._starts[line - 1] + column
        if len(self.issues) >= ISSUES_MAX:
            self.issues.append(Issue(offset, f"More than {ISSUES_MAX} syntax errors"))
            raise _Enough
        said = _RESERVED.sub(r"mismatched input '\1' expecting IDENTIFIER", msg)
        self.issues.append(Issue(offset, f"Syntax error: {said}"))


class _Tables:
    """The grammar, unpacked once."""

    def __init__(self) -> None:
        path = files("sagong.api.cel").joinpath("grammar/tables.json")
        raw = orjson.loads(path.read_bytes())
        self.literals = [name or "<INVALID>" for name in raw["literals"]]
        self.symbols = [name or "<INVALID>" for name in raw["symbols"]]
        self.rules, self.lexer_rules = raw["rules"], raw["lexer_rules"]
        self.lexer = ATNDeserializer().deserialize(raw["lexer"])
        self.parser = ATNDeserializer().deserialize(raw["parser"])
        self.lexer_dfas = _dfas(self.lexer)
        self.parser_dfas = _dfas(self.parser)
        # By decision: the sets of tokens that begin each alternative, where one token decides.
        self.look_ahead = [self._disjoint(state) for state in self.parser.decisionToState]

    def _disjoint(self, state: Any) -> list[IntervalSet] | None:
        looks: list[IntervalSet] = []
        seen: set[int] = set()
        for transition in state.transitions:
            look = IntervalSet()
            analyzer = LL1Analyzer(self.parser)
            # The method that the analyzer offers for decisions does not work in Python.
            analyzer._LOOK(
                transition.target, None, PredictionContext.EMPTY, look, set(), set(), False, False
            )
            tokens = set(look)
            if not tokens or LL1Analyzer.HIT_PRED in look or seen & tokens:
                return None
            seen |= tokens
            looks.append(look)
        return looks


def _dfas(atn: ATN) -> list[DFA]:
    return [DFA(state, i) for i, state in enumerate(atn.decisionToState)]


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    return _Tables()


class _Reader(Lexer):  # type: ignore[misc]
    """ANTLR's lexer over the tables."""

    def __init__(self, text: InputStream) -> None:
        super().__init__(text)
        tables = _tables()
        self.atn, self.ruleNames = tables.lexer, tables.lexer_rules
        cache = PredictionContextCache()
        self._interp = LexerATNSimulator(self, tables.lexer, tables.lexer_dfas, cache)


class _Interpreter(Parser):  # type: ignore[misc]
    """ANTLR's parser over the tables, deciding as generated code would."""

    def __init__(self, tokens: CommonTokenStream) -> None:
        super().__init__(tokens)
        self._tables = _tables()
        self.atn, self.ruleNames = self._tables.parser, self._tables.rules
        self.literalNames, self.symbolicNames = self._tables.literals, self._tables.symbols
        cache = PredictionContextCache()
        self._interp = ParserATNSimulator(self, self.atn, self._tables.parser_dfas, cache)

    def rule(self, index: int, precedence: int) -> None:
        """Read one rule; report and recover where the tokens do not follow it."""
        start = self.atn.ruleToStartState[index]
        parent, invoking = self._ctx, self.state
        context = _Context(parent, invoking, index)
        if start.isPrecedenceRule:
            self.enterRecursionRule(context, start.stateNumber, index, precedence)
        else:
            self.enterRule(context, start.stateNumber, index)
        try:
            self._walk(start, index, (parent, invoking))
        except RecognitionException as error:
            context.exception = error
            self._errHandler.reportError(self, error)
            self._errHandler.recover(self, error)
        finally:
            if start.isPrecedenceRule:
                self.unrollRecursionContexts(parent)
            else:
                self.exitRule()

    def _walk(self, state: Any, index: int, entered: tuple[Any, int]) -> None:
        looped = False
        while state.stateType != ATNState.RULE_STOP:
            transition = state.transitions[0]
            if len(state.transitions) > 1:
                if not looped:
                    self._synchronize(state)
                transition = state.transitions[self._decide(state) - 1]
            elif state.stateType in (ATNState.STAR_LOOP_BACK, ATNState.PLUS_BLOCK_START):
                self._synchronize(state)
            looped = state.stateType == ATNState.STAR_LOOP_BACK
            self._follow(state, transition)
            into_loop = transition.target.stateType != ATNState.LOOP_END
            if getattr(state, "isPrecedenceDecision", False) and into_loop:
                context = _Context(entered[0], entered[1], index)
                start = self.atn.ruleToStartState[index].stateNumber
                self.pushNewRecursionContext(context, start, index)
            if transition.serializationType == Transition.RULE:
                state = transition.followState
            else:
                state = transition.target

    def _synchronize(self, state: Any) -> None:
        self.state = state.stateNumber
        self._errHandler.sync(self)

    def _decide(self, state: Any) -> int:
        """The number of the alternative to take."""
        looks = self._tables.look_ahead[state.decision]
        if looks is None:
            return int(self._interp.adaptivePredict(self._input, state.decision, self._ctx))
        token = self._input.LA(1)
        for i, look in enumerate(looks):
            if token in look:
                return i + 1
        leaves = state.transitions[-1].target
        if state.stateType in _LOOPS or leaves is getattr(state, "endState", None):
            return len(looks)
        raise NoViableAltException(self)

    def _follow(self, state: Any, transition: Any) -> None:
        kind = transition.serializationType
        if kind in (Transition.EPSILON, Transition.ACTION):
            return
        if kind == Transition.PRECEDENCE:
            if not self.precpred(self._ctx, transition.precedence):
                raise FailedPredicateException(self, f"precpred(_ctx, {transition.precedence})")
            return
        self.state = state.stateNumber
        if kind == Transition.RULE:
            self.rule(transition.target.ruleIndex, transition.precedence)
        elif kind == Transition.ATOM:
            self.match(transition.label_)
        elif transition.matches(self._input.LA(1), Token.MIN_USER_TOKEN_TYPE, 0xFFFF):
            self._errHandler.reportMatch(self)
            self.consume()
        else:
            self._errHandler.recoverInline(self)


class _Context(ParserRuleContext):  # type: ignore[misc]
    def __init__(self, parent: Any, invoking: int, index: int) -> None:
        super().__init__(parent, invoking)
        self._index = index

    def getRuleIndex(self) -> int:
        return self._index
