"""Stands in for the API: answers /readyz, and shows what it was given as /environment."""

import http.server
import json
import os
import sys

if os.environ.get("STAND_IN_API") == "broken":
    sys.exit("the API is broken")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())

    def log_message(self, *_):
        pass


address = (os.environ["SELVAGE_HOST"], int(os.environ["SELVAGE_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
