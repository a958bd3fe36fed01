"""What the network tests run inside pods: a server that says who answered, and a client.

    net_program.py serve http:8080 udp:8081 ...      until killed
    net_program.py ask http|udp HOST PORT TIMES      one answer or "error: why" a line
    net_program.py look NAME TYPE SERVER [tcp]       the DNS code, then one record a line
    net_program.py hosts NAME                        what the C library resolves a name to

HTTP: ``/hostname`` and ``/clientip`` in plain text, ``/page`` in HTML with a link, anything else
echoed as JSON whatever the method. UDP: ``hostname`` and ``clientip``.
"""

import http.client
import http.server
import json
import os
import socket
import socketserver
import sys
import threading
import urllib.parse

SECONDS_MAX = 2.0
HAS_IPV6 = os.path.exists("/proc/net/if_inet6")
# A socket of IPv6 takes what comes by IPv4 too.
FAMILY = socket.AF_INET6 if HAS_IPV6 else socket.AF_INET
ANYWHERE = "::" if HAS_IPV6 else "0.0.0.0"


def shown(address: str) -> str:
    """Without what marks an address of IPv4 on a socket of IPv6."""
    return address.removeprefix("::ffff:")


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path, _, query = self.path.partition("?")
        kind = "text/plain"
        if path == "/hostname":
            text = socket.gethostname()
        elif path == "/clientip":
            text = shown(self.client_address[0])
        elif path == "/page":
            kind, text = "text/html", '<a href="/rewriteme">test</a>'
        else:
            method = dict(urllib.parse.parse_qsl(query)).get("method", self.command)
            said = {"Method": self.command, "Asked": method, "Path": path, "Body": body}
            said["Host"] = socket.gethostname()
            kind, text = "application/json", json.dumps(said)
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: nobody reads it."""


class HttpServer(http.server.ThreadingHTTPServer):
    request_queue_size = 64
    address_family = FAMILY


class UdpServer(socketserver.ThreadingUDPServer):
    address_family = FAMILY


class Datagram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, back = self.request
        told = shown(self.client_address[0]) if data == b"clientip" else socket.gethostname()
        back.sendto(told.encode(), self.client_address)


def serve(*ports: str) -> None:
    servers: list[socketserver.BaseServer] = []
    for port in ports:
        protocol, number = port.split(":")
        made = UdpServer if protocol == "udp" else HttpServer
        handler = Datagram if protocol == "udp" else Http
        servers.append(made((ANYWHERE, int(number)), handler))
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    print("serving", flush=True)


def ask(protocol: str, host: str, port: str, times: str, what: str = "hostname") -> None:
    for _ in range(int(times)):
        try:
            once = ask_udp if protocol == "udp" else ask_http
            print(once(host, int(port), what), flush=True)
        except OSError as error:
            print(f"error: {error}", flush=True)


def ask_http(host: str, port: int, what: str) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS_MAX)
    try:
        connection.request("GET", f"/{what}")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def ask_udp(host: str, port: int, what: str) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS_MAX)
        client.connect((host, port))
        client.send(what.encode())
        return client.recv(1000).decode()


def look(name: str, type_: str, server: str, *how: str) -> None:
    from dnslib import QTYPE, RCODE, DNSRecord

    question = DNSRecord.question(name, type_)
    data = question.send(server, 53, tcp=bool(how), timeout=SECONDS_MAX)
    answer = DNSRecord.parse(data)
    print(RCODE[answer.header.rcode])
    for record in answer.rr:
        if QTYPE[record.rtype] == type_:
            print(record.rdata)


def hosts(name: str) -> None:
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror as error:
        sys.exit(str(error))
    print(*sorted({entry[4][0] for entry in found}), sep="\n")


if __name__ == "__main__":
    {"serve": serve, "ask": ask, "look": look, "hosts": hosts}[sys.argv[1]](*sys.argv[2:])
    # Without waiting for threads that serve.
    if sys.argv[1] != "serve":
        sys.stdout.flush()
        os._exit(0)
