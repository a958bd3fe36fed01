"""A resolver that knows one name. Arguments: address, name, the name's address."""

import sys
import threading

from dnslib import QTYPE, RCODE, RR, SOA, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSServer

address, known, target = sys.argv[1:4]


class OneName(BaseResolver):
    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        reply = request.reply()
        if str(request.q.qname) == f"{known}.":
            if QTYPE[request.q.qtype] == "A":
                reply.add_answer(RR(known, QTYPE.A, ttl=20, rdata=A(target)))
        else:
            reply.header.rcode = RCODE.NXDOMAIN
            reply.add_auth(RR("example", QTYPE.SOA, ttl=20, rdata=SOA("a", "b", (1, 2, 3, 4, 20))))
        return reply


DNSServer(OneName(), address=address, port=53, tcp=True).start_thread()
DNSServer(OneName(), address=address, port=53).start_thread()
print("listening", flush=True)
threading.Event().wait()
