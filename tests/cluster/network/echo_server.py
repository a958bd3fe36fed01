"""A backend: answers every HTTP request, and every datagram, with its name and the peer's address.

Arguments: name, port, perhaps the address to listen on. Says "listening" once both sockets do.
"""

import http.server
import os
import socket
import socketserver
import sys
import threading

NAME, PORT = sys.argv[1], int(sys.argv[2])
# All addresses of both families, unless told otherwise.
ANYWHERE = "::" if os.path.exists("/proc/net/if_inet6") else "0.0.0.0"
ADDRESS = sys.argv[3] if len(sys.argv) > 3 else ANYWHERE
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET


def peer(address: str) -> str:
    """A socket of both families shows addresses of IPv4 as mapped ones."""
    return address.removeprefix("::ffff:")


class Http(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{NAME} {peer(self.client_address[0])}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: nobody reads it."""


class Datagram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        _, own = self.request
        own.sendto(f"{NAME} {peer(self.client_address[0])}".encode(), self.client_address)


class HttpServer(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    address_family = FAMILY


class DatagramServer(socketserver.UDPServer):
    address_family = FAMILY


server = HttpServer((ADDRESS, PORT), Http)
udp = DatagramServer((ADDRESS, PORT), Datagram)
threading.Thread(target=udp.serve_forever, daemon=True).start()
print("listening", flush=True)
server.serve_forever()
