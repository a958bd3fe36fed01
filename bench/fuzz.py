"""Bad input against a live server: every answer a Status, soon, and never a 5xx.

usage: bench/fuzz.py [--url URL --token TOKEN] [--seed N] [--minutes N]

Without a URL a server of its own is started on a free port, with its data in a temporary directory,
and its log is searched for tracebacks at the end. A failure prints the seed and the request; the
same seed sends the same requests. Everything that would write is sent as a dry run.
"""

import argparse
import json
import random
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

SLOW_SECONDS = 5.0  # far past what any refusal takes; a busy machine may need a second
# What upstream itself answers with 500, in its own words; see the tests of patches and of apply.
KNOWN_500 = (
    "resourceVersion should not be set on objects to be created",
    "unknown patch type",
    "does not contain declared merge key",
    "failed to create typed patch object",
    "list element types are not identical",
    "merging lists cannot yet be specified",
)
GATEWAY_TIMEOUT = 504  # "Too large resource version" is one, and is meant
PLURALS = {
    "/api/v1/namespaces/default": (
        *("pods", "configmaps", "secrets", "services", "endpoints", "limitranges", "events"),
        *("persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "serviceaccounts"),
        "podtemplates",
    ),
    "/api/v1": ("nodes", "namespaces", "persistentvolumes"),
    "/apis/apps/v1/namespaces/default": (
        *("deployments", "daemonsets", "statefulsets", "replicasets", "controllerrevisions"),
    ),
    "/apis/batch/v1/namespaces/default": ("jobs", "cronjobs"),
    "/apis/autoscaling/v2/namespaces/default": ("horizontalpodautoscalers",),
    "/apis/networking.k8s.io/v1/namespaces/default": ("ingresses", "networkpolicies"),
    "/apis/networking.k8s.io/v1": ("ingressclasses", "servicecidrs", "ipaddresses"),
    "/apis/policy/v1/namespaces/default": ("poddisruptionbudgets",),
    "/apis/rbac.authorization.k8s.io/v1": ("clusterroles", "clusterrolebindings"),
    "/apis/storage.k8s.io/v1": ("storageclasses", "csidrivers", "csinodes", "volumeattachments"),
    "/apis/apiextensions.k8s.io/v1": ("customresourcedefinitions",),
    "/apis/admissionregistration.k8s.io/v1": (
        *("validatingwebhookconfigurations", "validatingadmissionpolicies"),
    ),
    "/apis/discovery.k8s.io/v1/namespaces/default": ("endpointslices",),
    "/apis/resource.k8s.io/v1/namespaces/default": ("resourceclaims",),
    "/apis/flowcontrol.apiserver.k8s.io/v1": ("flowschemas", "prioritylevelconfigurations"),
    "/apis/certificates.k8s.io/v1": ("certificatesigningrequests",),
    "/apis/authorization.k8s.io/v1": ("selfsubjectaccessreviews", "subjectaccessreviews"),
    "/apis/authentication.k8s.io/v1": ("tokenreviews",),
}
FIELDS = (
    *("spec", "template", "metadata", "containers", "name", "labels", "ports", "selector", "rules"),
    *("volumes", "env", "resources", "limits", "requests", "data", "subjects", "roleRef", "status"),
    *("matchLabels", "matchExpressions", "type", "replicas", "strategy", "schedule", "versions"),
    *("jobTemplate", "names", "schema", "openAPIV3Schema", "properties", "items", "webhooks"),
    *("clientConfig", "securityContext", "affinity", "tolerations", "accessModes", "capacity"),
    *("annotations", "ownerReferences", "finalizers", "managedFields", "creationTimestamp"),
    *("metrics", "behavior", "ingress", "egress", "backend", "devices", "limited", "scopes"),
    *("hard", "endpoints", "addresses", "subsets", "subPath", "key", "operator", "values", "uid"),
)
TEXTS = (
    *(
        "",
        " ",
        "a",
        "A_b",
        "x" * 300,
        "é",
        "\u0000",
        "\ud83d\ude00",
        "../..",
        "%2e%2e",
        "1Zb",
        "-1",
    ),
    *("1e999999999", "9" * 400, "true", "null", "kubernetes.io/x", "a/b/c", "2020-13-45T99:99:99Z"),
    *(
        "10%",
        "a=b,c in (",
        "{}",
        "$(x)",
        "\n",
        "Always",
        "TCP",
        "IPv4",
        "v1",
        "{{",
        "[[",
        "(?P<",
        "*",
    ),
)
NUMBERS = (0, -1, 1, 65536, 2**31, 2**63, -(2**63) - 1, 10**30, 0.5, 1e308, -0.0)
PATHS = (
    *(
        "/api/v1/namespaces/%2e%2e/pods",
        "/api/v1/namespaces/../pods",
        "/api//v1///pods",
        "//",
        "/%",
    ),
    *("/api/v1/namespaces/default/pods/%2f%2f", "/api/v1/namespaces/default/pods/%00", "/%ff%fe"),
    *("/apis/%2e%2e/%2e%2e/etc/passwd", "/api/v1/pods/", "/api/v1/" + "a/" * 300, "/" + "a" * 5000),
    *("/openapi/v3/../../x", "/logs/../x", "/api/v1/namespaces/default/pods/x/log?container=%00"),
)
PARAMETERS = (
    *("limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "pretty"),
    *("fieldSelector", "timeoutSeconds", "dryRun", "fieldManager", "fieldValidation", "force"),
    *("propagationPolicy", "gracePeriodSeconds", "orphanDependents", "sendInitialEvents"),
)
PATCHES = (
    *("application/json-patch+json", "application/merge-patch+json"),
    *("application/strategic-merge-patch+json", "application/apply-patch+yaml"),
)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent; the body as it is."""

    method: str
    target: str
    body: bytes = b""
    content_type: str = "application/json"


class Maker:
    """Requests, each from the same source of chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def request(self) -> Request:
        kinds = (self._object, self._object, self._patch, self._query, self._raw, self._path)
        return self._chance.choice(kinds)()

    def _collection(self) -> str:
        prefix = self._chance.choice(list(PLURALS))
        return f"{prefix}/{self._chance.choice(PLURALS[prefix])}"

    def value(self, depth: int = 0) -> object:
        chance = self._chance
        pick = chance.random()
        if depth > 5 or pick < 0.25:
            return chance.choice(TEXTS)
        if pick < 0.35:
            return chance.choice(NUMBERS)
        if pick < 0.42:
            return chance.choice((True, False, None))
        if pick < 0.57:
            return [self.value(depth + 1) for _ in range(chance.randint(0, 3))]
        return self._mapping(depth)

    def _mapping(self, depth: int) -> dict[str, object]:
        keys = self._chance.sample(FIELDS, self._chance.randint(0, 6))
        return {key: self.value(depth + 1) for key in keys}

    def _object(self) -> Request:
        obj = self._mapping(0)
        obj["metadata"] = self.value(1) if self._chance.random() < 0.1 else {"name": "fuzz"}
        if self._chance.random() < 0.9:
            obj["spec"] = self._mapping(1)
        return Request("POST", self._collection() + "?dryRun=All", _dumped(obj))

    def _patch(self) -> Request:
        target = "/api/v1/namespaces/default/serviceaccounts/default?dryRun=All&fieldManager=fuzz"
        type_ = self._chance.choice(PATCHES)
        patch = self.value()
        if type_.startswith("application/json-patch"):
            operations = ("add", "remove", "replace", "move", "copy", "test", "x")
            patch = [
                {
                    "op": self._chance.choice(operations),
                    "path": self._chance.choice(("/metadata/labels", "/x/-", "", "x", "/~2", "/0")),
                    "from": self._chance.choice(("/metadata", "/x", "")),
                    "value": self.value(3),
                }
            ]
        return Request("PATCH", target, _dumped(patch), type_)

    def _query(self) -> Request:
        names = self._chance.sample(PARAMETERS, self._chance.randint(1, 4))
        asked = {name: str(self._chance.choice(TEXTS + NUMBERS)) for name in names}
        text = urllib.parse.urlencode(asked, errors="replace")
        return Request("GET", f"{self._collection()}?{text}")

    def _path(self) -> Request:
        return Request(self._chance.choice(("GET", "DELETE")), self._chance.choice(PATHS))

    def _raw(self) -> Request:
        chance = self._chance
        bodies = (
            *(
                b"",
                b"{",
                b"null",
                b"[" * 100_000,
                b'{"a":' * 5000,
                b"\xff\xfe\x00",
                b"NaN",
                b"1e9999",
            ),
            *(b'{"metadata":{"name":"' + b"\xc3\x28" + b'"}}', BOMB.encode(), b"a: b: c", b"- - -"),
            *(
                b'{"data":"' + b"x" * (3 * 1024 * 1024 + 1) + b'"}',
                b"k8s\x00" + chance.randbytes(99),
            ),
            *(
                chance.randbytes(chance.randint(1, 400)),
                b"!!python/object:os.system {}",
                b"&a [*a]",
            ),
        )
        types = ("json", "yaml", "vnd.kubernetes.protobuf", "x-unknown", "")
        type_ = f"application/{chance.choice(types)}"
        target = self._collection() + "?dryRun=All"
        return Request("POST", target, chance.choice(bodies), type_)


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode(errors="surrogatepass")


class Target:
    """The server, over connections that are made anew after a failure."""

    def __init__(self, url: str, token: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 443)
        self._token = token
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE  # a server of our own, with its own authority
        self._connection: HTTPSConnection | None = None

    def ask(self, request: Request) -> str:
        """What is wrong with the answer; nothing if all is right."""
        began = time.monotonic()
        try:
            status, media_type, body = self._exchange(request)
        except (OSError, HTTPException) as error:
            self._connection = None
            return f"no answer: {error!r}"
        took = time.monotonic() - began
        if took > SLOW_SECONDS:
            return f"slow: {took:.2f} s"
        return _fault(status, media_type, body)

    def _exchange(self, request: Request) -> tuple[int, str, bytes]:
        connection = self._connection or HTTPSConnection(
            *self._address, context=self._context, timeout=30
        )
        self._connection = None
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": request.content_type}
        connection.request(request.method, request.target, request.body or None, headers)
        response = connection.getresponse()
        body = response.read()
        if not response.will_close:
            self._connection = connection
        return response.status, response.getheader("Content-Type", ""), body

    def leave_half_open(self) -> None:
        """A connection that says a little and goes away."""
        with socket.create_connection(self._address, timeout=5) as plain:
            plain.sendall(b"\x16\x03\x01")
        with (
            socket.create_connection(self._address, timeout=5) as plain,
            self._context.wrap_socket(plain) as secure,
        ):
            secure.sendall(
                b"POST /api/v1/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
            )


def _fault(status: int, media_type: str, body: bytes) -> str:
    text = body.decode(errors="replace")
    known = status == GATEWAY_TIMEOUT or any(words in text for words in KNOWN_500)
    if status >= 500 and not known:
        return f"{status}: {text[:300]}"
    if status < 400 or "json" not in media_type:
        return ""
    try:
        answer = json.loads(body)
    except ValueError:
        return f"{status} without JSON: {text[:300]}"
    return "" if answer.get("kind") == "Status" else f"{status} without a Status: {text[:300]}"


def fuzz(target: Target, seed: int, minutes: float) -> int:
    """Returns how many answers were wrong."""
    maker = Maker(random.Random(seed))
    end = time.monotonic() + minutes * 60
    asked = wrong = 0
    while time.monotonic() < end:
        request = maker.request()
        fault = target.ask(request)
        asked += 1
        if asked % 500 == 0:
            target.leave_half_open()
        if fault:
            wrong += 1
            print(f"seed {seed}, request {asked}: {request.method} {request.target[:200]}")
            print(f"  {request.content_type} {request.body[:600]!r}\n  {fault}")
    print(f"{asked} requests, {wrong} answered wrongly")
    return wrong


def _own_server(directory: Path, port: int, log: Path) -> "subprocess.Popen[bytes]":
    tokens = directory / "tokens.csv"
    tokens.write_text("fuzz,fuzz,1,system:masters\n")
    command = [sys.executable, "-m", "sagong", "server", "--data-dir", str(directory / "data")]
    command += ["--listen", f"127.0.0.1:{port}", "--token-auth-file", str(tokens)]
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def _wait_ready(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit("the server did not come up")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url")
    parser.add_argument("--token", default="fuzz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1.0)
    arguments = parser.parse_args()
    if arguments.url:
        wrong = fuzz(Target(arguments.url, arguments.token), arguments.seed, arguments.minutes)
        sys.exit(wrong > 0)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = directory / "log"
        server = _own_server(directory, port, log)
        try:
            _wait_ready(port)
            target = Target(f"https://127.0.0.1:{port}", "fuzz")
            wrong = fuzz(target, arguments.seed, arguments.minutes)
        finally:
            server.terminate()
            server.wait()
        traces = log.read_text(errors="replace").count("Traceback")
        print(f"{traces} tracebacks in the server's log")
        sys.exit(wrong > 0 or traces > 0)


if __name__ == "__main__":
    main()
