"""A local AWS for the tests: moto's EC2 and DynamoDB on 127.0.0.1, plus what the tests need and moto lacks.

    python local_aws.py [--port N]

Once it is ready it prints one line on stdout, {"endpoint": "http://127.0.0.1:PORT"}. It ends when its stdin
does (so it never outlives the program that started it, however that died) or on SIGTERM or SIGINT. The
request log goes to stderr. service.py describes how a test steers it.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

HOST = "127.0.0.1"
WARM_REGION = "us-west-2"
END_SIGNALS = {signal.SIGTERM, signal.SIGINT}

MOTO_ENVIRONMENT = {
    "MOTO_AMIS_PATH": str(Path(__file__).with_name("amis.json")),
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
}
# moto reads some of these while it is imported.
os.environ.update(MOTO_ENVIRONMENT)

from moto.moto_server.werkzeug_app import MotoRequestHandler  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

from service import LocalAws  # noqa: E402


class RequestHandler(MotoRequestHandler):
    """werkzeug's own handler closes every connection after one reply; AWS, and every SDK, keeps it open."""

    protocol_version = "HTTP/1.1"
    # A reply goes out in two writes, headers and body: without this the second waits 40 ms for an ACK.
    disable_nagle_algorithm = True

    def run_wsgi(self):
        environ = self.make_environ()
        reply = self.server.app.answer(environ, read_body(environ))
        if reply is None:
            self.cut_connection()
        else:
            self.send_reply(reply)

    def send_reply(self, reply):
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def cut_connection(self):
        self.close_connection = True
        # The client may have gone first.
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def read_body(environ):
    if environ.get("wsgi.input_terminated"):
        return environ["wsgi.input"].read()
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def serve(port, local_aws):
    """Serve in the background. The server object knows its port."""
    local_aws.warm_up(WARM_REGION)
    server = make_server(HOST, port, local_aws, threaded=True, request_handler=RequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def end_with_stdin():
    while os.read(sys.stdin.fileno(), 4096):
        pass
    end()


def end():
    """At once: calls that a fault still holds have nobody left to answer."""
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description="A local AWS for the tests.")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    arguments = parser.parse_args()
    # Blocked here, before there are threads, and awaited below: a handler runs in the main thread only, and
    # a signal that another thread catches would not wake it from its read.
    signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
    # The one line below is all that goes to stdout, whatever moto may print.
    ready, sys.stdout = sys.stdout, sys.stderr
    server = serve(arguments.port, LocalAws())
    print(json.dumps({"endpoint": f"http://{HOST}:{server.port}"}), file=ready, flush=True)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    signal.sigwait(END_SIGNALS)
    end()


if __name__ == "__main__":
    main()
