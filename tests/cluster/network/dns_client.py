"""Asks a name server once, over UDP or TCP, and prints the code and the data of each record.

Arguments: server, name, type, perhaps "tcp".
"""

import socket
import sys

from dnslib import QTYPE, RCODE, DNSRecord

server, name, type_ = sys.argv[1:4]
SECONDS_MAX = 8.0  # longer than the server waits for its resolvers

question = DNSRecord.question(name, type_)
if sys.argv[4:] == ["tcp"]:
    data = question.send(server, 53, tcp=True, timeout=SECONDS_MAX)
else:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS_MAX)
        client.connect((server, 53))
        client.send(question.pack())
        data = client.recv(65535)
answer = DNSRecord.parse(data)
assert answer.header.id == question.header.id
print("TRUNCATED" if answer.header.tc else RCODE[answer.header.rcode])
for record in answer.rr:
    assert QTYPE[record.rtype] in (type_, "CNAME")
    print(record.rdata)
