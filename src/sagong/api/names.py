"""How names, labels and their like must look: upstream's ``util/validation``, with its messages.

Each function returns what is wrong, in upstream's words; an empty list means valid.
"""

import re
from functools import lru_cache

LABEL_MAX = 63
SUBDOMAIN_MAX = 253
QUALIFIED_NAME_MAX = 63

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HTTP_HEADER = "[-A-Za-z0-9]+"
_PERCENT = "[0-9]+%"

_UNDERSCORED_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_UNDERSCORED = rf"{_UNDERSCORED_LABEL}(\.{_UNDERSCORED_LABEL})*"

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character"
)
_ENV_TEXT = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', "
    "or '.', and must not start with a digit"
)
_RELAXED_ENV_TEXT = (
    "a valid environment variable name must consist only of printable ASCII characters other "
    "than '='"
)
_CONFIG_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_C_TEXT = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of "
    "alphanumeric characters or '_'"
)
_PORT_ALL = re.compile("[-a-z0-9]+")


@lru_cache(maxsize=4096)  # pure; most of what is checked is the same few images, ports and volumes
def _fits(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern, value) is not None


def max_length(length: int) -> str:
    """What upstream says of a string that is too long."""
    return f"must be no more than {length} characters"


def dns1123_label(value: str) -> list[str]:
    """RFC 1123 label, at most 63 characters."""
    problems = _too_long(value, LABEL_MAX)
    if not _fits(_LABEL, value):
        if _fits(_SUBDOMAIN, value):
            problems.append("must not contain dots")
        else:
            problems.append(_regex(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
    return problems


def dns1123_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain, at most 253 characters."""
    problems = _too_long(value, SUBDOMAIN_MAX)
    if not _fits(_SUBDOMAIN, value):
        problems.append(_regex(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return problems


def dns1123_subdomain_underscored(value: str) -> list[str]:
    """A subdomain whose labels may have underscores, as searched domains do."""
    problems = _too_long(value, 253)
    if not _fits(_UNDERSCORED, value):
        text = _SUBDOMAIN_TEXT.replace("'-' or", "'_', '-' or")
        problems.append(_regex(text, _UNDERSCORED, "example.com"))
    return problems


def dns1035_label(value: str) -> list[str]:
    """RFC 1035 label, at most 63 characters: starts with a letter."""
    problems = _too_long(value, LABEL_MAX)
    if not _fits(_LABEL_1035, value):
        problems.append(_regex(_LABEL_1035_TEXT, _LABEL_1035, "my-name", "abc-123"))
    return problems


def wildcard_subdomain(value: str) -> list[str]:
    """A subdomain below ``*.``."""
    pattern = rf"\*\.{_SUBDOMAIN}"
    text = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
        "which must consist of lower case alphanumeric characters, '-' or '.' and end with an "
        "alphanumeric character"
    )
    problems = _too_long(value, SUBDOMAIN_MAX)
    if not _fits(pattern, value):
        problems.append(_regex(text, pattern, "*.example.com"))
    return problems


def qualified_name(value: str) -> list[str]:
    """``name`` or ``prefix/name``: the keys of labels and annotations, finalizers, resources."""
    problems: list[str] = []
    prefix, slash, name = value.rpartition("/")
    if slash and "/" in prefix:
        example = "(e.g. 'example.com/MyName')"
        shape = _regex(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
        return [f"a qualified name {shape} with an optional DNS subdomain prefix and '/' {example}"]
    if slash:
        if not prefix:
            problems.append("prefix part must be non-empty")
        else:
            problems += ["prefix part " + p for p in dns1123_subdomain(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > QUALIFIED_NAME_MAX:
        problems.append("name part " + max_length(QUALIFIED_NAME_MAX))
    if not _fits(_QUALIFIED, name):
        shape = _regex(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
        problems.append("name part " + shape)
    return problems


def label_value(value: str) -> list[str]:
    """The value of a label: "" or 63 characters of a name."""
    problems = _too_long(value, LABEL_MAX)
    if not _fits(_LABEL_VALUE, value):
        problems.append(_regex(_LABEL_VALUE_TEXT, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return problems


def env_var_name(value: str) -> list[str]:
    """The name of an environment variable, the strict rule."""
    problems = []
    if not _fits(_ENV_NAME, value):
        problems.append(_regex(_ENV_TEXT, _ENV_NAME, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return problems + _dots(value)


def relaxed_env_var_name(value: str) -> list[str]:
    """The name of an environment variable as pods may have it: any printable ASCII but "="."""
    if not value:
        return ["environment variable name must be non-empty"]
    if any(c == "=" or not " " <= c <= "~" for c in value):
        return [_RELAXED_ENV_TEXT]
    return []


def config_map_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    problems = _too_long(value, SUBDOMAIN_MAX)
    if not _fits(_CONFIG_KEY, value):
        problems.append(_regex(_CONFIG_KEY_TEXT, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return problems + _dots(value)


def c_identifier(value: str) -> list[str]:
    """A C identifier."""
    if _fits(_C_IDENTIFIER, value):
        return []
    return [_regex(_C_TEXT, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def port_name(value: str) -> list[str]:
    """An IANA service name: what names a container's port."""
    problems = []
    if len(value) > 15:
        problems.append(max_length(15))
    if not _PORT_ALL.fullmatch(value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(value: int) -> list[str]:
    """A TCP or UDP port."""
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def path_segment_name(value: str) -> list[str]:
    """A name that can be one part of a URL's path."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{c}'" for c in ("/", "%") if c in value]


def http_header_name(value: str) -> list[str]:
    if _fits(_HTTP_HEADER, value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [_regex(text, _HTTP_HEADER, "X-Header-Name")]


def valid_percent(value: str) -> list[str]:
    """A percentage such as ``25%``."""
    if _fits(_PERCENT, value):
        return []
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [_regex(text, _PERCENT, "1%", "93%")]


def _too_long(value: str, length: int) -> list[str]:
    return [max_length(length)] if len(value) > length else []


def _dots(value: str) -> list[str]:
    if value == ".":
        return ["must not be '.'"]
    if value == "..":
        return ["must not be '..'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def _regex(text: str, pattern: str, *examples: str) -> str:
    """``<text> (e.g. 'a',  or 'b', regex used for validation is '<pattern>')``."""
    shown = "".join(f"'{e}', " if i == 0 else f" or '{e}', " for i, e in enumerate(examples))
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"
