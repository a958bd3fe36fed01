"""Programs of the node's Python that play webhooks and an extension API server inside a pod.

Written for ``python_program``: standard library only, one HTTPS server; certificate and key are in
a secret, mounted at /certs of the container and so below /host's view of it: they are passed in the
environment instead.
"""

# What a webhook answers is told by its path: /deny, /mutate, /convert. Everything else is a 404.
WEBHOOK = r"""
import base64, http.server, json, os, ssl, tempfile

def answer(path, review):
    asked = review["request"]
    if path == "/convert":
        objects = [converted(o, asked["desiredAPIVersion"]) for o in asked["objects"]]
        return {"result": {"status": "Success"}, "convertedObjects": objects}
    if path == "/deny":
        data = (asked.get("object") or {}).get("data") or {}
        if data.get("webhook-e2e-test") != "webhook-disallow":
            return {"allowed": True}
        return {"allowed": False, "status": {"message": "the configmap contains unwanted key"}}
    if path == "/attach":
        return {"allowed": False, "status": {"message": "attaching to pod is not allowed"}}
    patch = [{"op": "add", "path": "/data/mutated", "value": os.uname().nodename}]
    text = base64.b64encode(json.dumps(patch).encode()).decode()
    return {"allowed": True, "patch": text, "patchType": "JSONPatch"}

def converted(obj, version):
    obj = dict(obj, apiVersion=version)
    if version.endswith("/v2"):
        obj["host"], _, obj["port"] = obj.pop("hostPort", ":").partition(":")
    else:
        obj["hostPort"] = obj.pop("host", "") + ":" + obj.pop("port", "")
    return obj

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        path = self.path.partition("?")[0]
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = dict(answer(path, review), uid=review["request"]["uid"])
        head = {"kind": review["kind"], "apiVersion": review["apiVersion"]}
        self.reply(dict(head, response=response))

    def do_GET(self):
        user = self.headers.get("X-Remote-User", "")
        if self.path.startswith("/apis/wardle.example.com/v1alpha1/namespaces"):
            metadata = {"name": "one", "annotations": {"asked-by": user}}
            head = {"kind": "Flunder", "apiVersion": "wardle.example.com/v1alpha1"}
            self.reply(dict(head, metadata=metadata))
        elif self.path.startswith("/apis/wardle.example.com/v1alpha1"):
            verbs = ["get", "list"]
            resource = {"name": "flunders", "singularName": "flunder", "namespaced": True}
            resource.update(kind="Flunder", verbs=verbs)
            head = {"kind": "APIResourceList", "apiVersion": "v1"}
            head["groupVersion"] = "wardle.example.com/v1alpha1"
            self.reply(dict(head, resources=[resource]))
        elif self.path == "/ready":
            self.reply({})
        else:
            self.send_error(404)

    def reply(self, obj):
        data = json.dumps(obj).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

with tempfile.NamedTemporaryFile() as file:
    file.write(os.environ["SERVING_PEM"].encode())
    file.flush()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file.name)
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
