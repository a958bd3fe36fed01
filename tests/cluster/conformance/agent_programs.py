"""Servers that tests run inside pods: CGI scripts of busybox, or a program of the node's Python."""

import sys
from pathlib import Path
from typing import Any

from sagong.api.types import Obj
from sagong.local.images import BUSYBOX_IMAGE

_SOURCES = Path(__file__).parents[3] / "src"


def cgi_server(port: int = 8080, **scripts: str) -> str:
    """A shell script that serves ``/cgi-bin/<name>`` by running the scripts given."""
    lines = ["mkdir -p /tmp/w/cgi-bin"]
    for name, text in scripts.items():
        path = f"/tmp/w/cgi-bin/{name}"
        lines.append(f"cat > {path} <<'END'\n#!/bin/sh\n{text}\nEND\nchmod +x {path}")
    return "\n".join([*lines, f"exec httpd -f -p {port} -h /tmp/w"])


def recorder(port: int = 8080) -> str:
    """Serves ``/cgi-bin/echo?text``, which appends to ``/tmp/log``."""
    answer = "echo 'Content-Type: text/plain'; echo; echo ok"
    return cgi_server(port, echo=f'echo "$QUERY_STRING $HTTP_X_TEST" >> /tmp/log; {answer}')


def python_program(code: str, **fields: Any) -> Obj:
    """A container that runs Python code with the node's own interpreter and packages."""
    return {
        "image": BUSYBOX_IMAGE,
        "command": ["chroot", "/host", sys.executable, "-c", code],
        "env": [{"name": "PYTHONPATH", "value": str(_SOURCES)}],
        "volumeMounts": [{"name": "host", "mountPath": "/host"}],
        **fields,
    }


HOST_VOLUME = {"name": "host", "hostPath": {"path": "/"}}

GRPC_HEALTH = """
import concurrent.futures, grpc
def check(request, context):
    return b"\\x08\\x01" if request in (b"", b"\\x0a\\x04well") else b"\\x08\\x02"
handler = grpc.method_handlers_generic_handler(
    "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((handler,))
server.add_insecure_port("0.0.0.0:5000")
server.start()
server.wait_for_termination()
"""
