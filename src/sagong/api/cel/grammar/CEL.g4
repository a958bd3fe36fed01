// The grammar of the Common Expression Language, for ANTLR: what syntax errors are reported by.
grammar CEL;

start
    : expr EOF
    ;

expr
    : conditionalOr ('?' conditionalOr ':' expr)?
    ;

conditionalOr
    : conditionalAnd ('||' conditionalAnd)*
    ;

conditionalAnd
    : relation ('&&' relation)*
    ;

relation
    : calc
    | relation ('<'|'<='|'>='|'>'|'=='|'!='|'in') relation
    ;

calc
    : unary
    | calc ('*'|'/'|'%') calc
    | calc ('+'|'-') calc
    ;

unary
    : member
    | ('!')+ member
    | ('-')+ member
    ;

member
    : primary
    | member '.' ('?')? escapeIdent
    | member '.' IDENTIFIER '(' exprList? ')'
    | member '[' ('?')? expr ']'
    ;

primary
    : '.'? IDENTIFIER
    | '.'? IDENTIFIER ('(' exprList? ')')
    | '(' expr ')'
    | '[' listInit? ','? ']'
    | '{' mapInitializerList? ','? '}'
    | '.'? IDENTIFIER ('.' IDENTIFIER)*
        '{' fieldInitializerList? ','? '}'
    | literal
    ;

exprList
    : expr (',' expr)*
    ;

listInit
    : optExpr (',' optExpr)*
    ;

fieldInitializerList
    : optField ':' expr (',' optField ':' expr)*
    ;

optField
    : ('?')? escapeIdent
    ;

mapInitializerList
    : optExpr ':' expr (',' optExpr ':' expr)*
    ;

escapeIdent
    : IDENTIFIER     # SimpleIdentifier
    | ESC_IDENTIFIER # EscapedIdentifier
    ;

optExpr
    : ('?')? expr
    ;

literal
    : MINUS? NUM_INT
    | NUM_UINT
    | MINUS? NUM_FLOAT
    | STRING
    | BYTES
    | CEL_TRUE
    | CEL_FALSE
    | NUL
    ;

EQUALS : '==';
NOT_EQUALS : '!=';
IN: 'in';
LESS : '<';
LESS_EQUALS : '<=';
GREATER_EQUALS : '>=';
GREATER : '>';
LOGICAL_AND : '&&';
LOGICAL_OR : '||';

LBRACKET : '[';
RPRACKET : ']';
LBRACE : '{';
RBRACE : '}';
LPAREN : '(';
RPAREN : ')';
DOT : '.';
COMMA : ',';
MINUS : '-';
EXCLAM : '!';
QUESTIONMARK : '?';
COLON : ':';
PLUS : '+';
STAR : '*';
SLASH : '/';
PERCENT : '%';
CEL_TRUE : 'true';
CEL_FALSE : 'false';
NUL : 'null';

fragment BACKSLASH : '\\';
fragment LETTER : 'A'..'Z' | 'a'..'z' ;
fragment DIGIT  : '0'..'9' ;
fragment EXPONENT : ('e' | 'E') ( '+' | '-' )? DIGIT+ ;
fragment HEXDIGIT : ('0'..'9'|'a'..'f'|'A'..'F') ;
fragment RAW : 'r' | 'R';

fragment ESC_SEQ
    : ESC_CHAR_SEQ
    | ESC_BYTE_SEQ
    | ESC_UNI_SEQ
    | ESC_OCT_SEQ
    ;

fragment ESC_CHAR_SEQ
    : BACKSLASH ('a'|'b'|'f'|'n'|'r'|'t'|'v'|'"'|'\''|'\\'|'?'|'`')
    ;

fragment ESC_OCT_SEQ
    : BACKSLASH ('0'..'3') ('0'..'7') ('0'..'7')
    ;

fragment ESC_BYTE_SEQ
    : BACKSLASH ( 'x' | 'X' ) HEXDIGIT HEXDIGIT
    ;

fragment ESC_UNI_SEQ
    : BACKSLASH 'u' HEXDIGIT HEXDIGIT HEXDIGIT HEXDIGIT
    | BACKSLASH 'U' HEXDIGIT HEXDIGIT HEXDIGIT HEXDIGIT HEXDIGIT HEXDIGIT HEXDIGIT HEXDIGIT
    ;

WHITESPACE : ( '\t' | ' ' | '\r' | '\n'| '\u000C' )+ -> channel(HIDDEN) ;
COMMENT : '//' (~'\n')* -> channel(HIDDEN) ;

NUM_FLOAT
  : ( DIGIT+ ('.' DIGIT+) EXPONENT?
    | DIGIT+ EXPONENT
    | '.' DIGIT+ EXPONENT?
    )
  ;

NUM_INT
  : ( DIGIT+ | '0x' HEXDIGIT+ );

NUM_UINT
   : DIGIT+ ( 'u' | 'U' )
   | '0x' HEXDIGIT+ ( 'u' | 'U' )
   ;

STRING
  : '"' (ESC_SEQ | ~('\\'|'"'|'\n'|'\r'))* '"'
  | '\'' (ESC_SEQ | ~('\\'|'\''|'\n'|'\r'))* '\''
  | '"""' (ESC_SEQ | ~('\\'))*? '"""'
  | '\'\'\'' (ESC_SEQ | ~('\\'))*? '\'\'\''
  | RAW '"' ~('"'|'\n'|'\r')* '"'
  | RAW '\'' ~('\''|'\n'|'\r')* '\''
  | RAW '"""' .*? '"""'
  | RAW '\'\'\'' .*? '\'\'\''
  ;

BYTES : ('b' | 'B') STRING;

IDENTIFIER : (LETTER | '_') ( LETTER | DIGIT | '_')*;
ESC_IDENTIFIER : '`' (LETTER | DIGIT | '_' | '.' | '-' | '/' | ' ')+ '`';
