"""A client: asks an address some times, each time by a new connection, prints one answer a line.

Arguments: "tcp" or "udp", address, port, times, and for udp perhaps "step". A refused or unanswered
request prints why. All datagrams come from one socket, so that they are one flow; with "step" each
one waits for a line of standard input.
"""

import socket
import sys
import urllib.error
import urllib.request

protocol, address, port, times = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
STEP = sys.argv[5:] == ["step"]
SECONDS_MAX = 1.5
host = f"[{address}]" if ":" in address else address

if protocol == "udp":
    udp = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(SECONDS_MAX)
    udp.connect((address, port))
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in range(times):
    if protocol == "udp":
        if STEP:
            sys.stdin.readline()
        try:
            udp.send(b"?")
            print(udp.recv(100).decode())
        except TimeoutError:
            print("timeout")
        except ConnectionRefusedError:
            print("refused")
        sys.stdout.flush()
    else:
        try:
            with opener.open(f"http://{host}:{port}/", timeout=SECONDS_MAX) as answer:
                print(answer.read().decode())
        except (TimeoutError, urllib.error.URLError) as error:
            refused = isinstance(getattr(error, "reason", None), ConnectionRefusedError)
            print("refused" if refused else "timeout")
