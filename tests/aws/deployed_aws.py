"""A local AWS that a template can be deployed to: MiniStack for everything but EC2, and EC2 by local_aws.py.

    python deployed_aws.py

Once it is ready it prints one line on stdout, {"endpoint": …, "aws": …, "folder": …}: where EC2 is (and the control
endpoint of service.py), where everything else is, and the temporary folder that holds all that MiniStack writes. It ends
when its stdin does, or on SIGTERM or SIGINT; and however it ends, tidy.py ends the functions that it runs and removes the
folder.

Besides what service.py has, the control endpoint knows

    POST /_local/call     {"service", "operation", "parameters"}: one call of boto3, in its words; the answer, or
                          {"error": {"code", "message"}}. What the tests need of a service without a Rust SDK here.
    POST /_local/deploy   {"template", "stack", "parameters"}: see deploy.py
    POST /_local/ahead    {"seconds"}: the clock of EventBridge Scheduler goes that much ahead of the others
    POST /_local/tell     {"events"}: what AWS's own services tell EventBridge, as entries of PutEvents, which lets nobody
                          else speak for them
"""

import asyncio
import datetime
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from pathlib import Path

# MiniStack hands its environment on to the functions, which must see nothing of this machine but this.
for name in os.environ.keys() - {"PATH", "LANG", "TMPDIR"}:
    del os.environ[name]

from botocore.exceptions import ClientError  # noqa: E402
from botocore.response import StreamingBody  # noqa: E402

import deploy  # noqa: E402
import local_aws  # noqa: E402
import schema  # noqa: E402
from clients import ACCOUNT, REGION, Clients  # noqa: E402
from faults import Reply, error_reply  # noqa: E402
from service import LocalAws, json_reply  # noqa: E402

HERE = Path(__file__).parent
START_LIMIT = 60
ACCESS_KEY = re.compile(r"Credential=([^/]+)/")


class DeployedAws(LocalAws):
    """local_aws.py's EC2 and control endpoint, with the requests above."""

    def __init__(self, clients):
        super().__init__()
        self.clients = clients
        # Outside the lock: while one of these waits for a function, the function calls EC2.
        self.unlocked = {"call": self.call, "deploy": self.deploy, "ahead": self.ahead, "tell": self.tell}

    def answer(self, environ, body):
        path = environ["PATH_INFO"]
        work = self.unlocked.get(path.removeprefix("/_local/")) if path.startswith("/_local/") else None
        if work is None:
            return self.refuse_a_stranger(environ) or super().answer(environ, body)
        try:
            return Reply(200, "application/json", json.dumps(work(json.loads(body)), default=in_json).encode())
        except ClientError as error:
            said = error.response["Error"]
            return refusal(said["Code"], said["Message"])
        except deploy.Failed as error:
            return refusal("DeploymentFailed", str(error))
        except Exception as error:
            traceback.print_exc()
            return refusal("LocalFailure", repr(error))

    def refuse_a_stranger(self, environ):
        """Whom MiniStack does not know, by access key, EC2 does not know either. What else they may do is not judged."""
        from ministack.core.iam_evaluator import AuthError, resolve_principal

        key = ACCESS_KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
        if not key:
            return None
        principal = resolve_principal(key[1], ACCOUNT)
        if isinstance(principal, AuthError):
            return error_reply(environ, "AuthFailure", principal.message)
        return None

    def call(self, given):
        client = self.clients.of(given["service"])
        answer = getattr(client, given["operation"])(**given.get("parameters", {}))
        answer.pop("ResponseMetadata", None)
        return answer

    def deploy(self, given):
        return deploy.deploy(self.clients, **given)

    def ahead(self, given):
        from ministack.services import scheduler

        scheduler.time.ahead = given["seconds"]
        return {}

    def tell(self, given):
        from ministack.services import eventbridge

        for event in given["events"]:
            eventbridge._put_events({"Entries": [event]}, allow_aws_source=True)
        return {}


def refusal(code, message):
    return json_reply(200, {"error": {"code": code, "message": message}})


def in_json(value):
    """What JSON has no word for, in boto3's answers."""
    if isinstance(value, StreamingBody):
        return value.read().decode()
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} in an answer")


def start_tidy():
    """The process that outlives this one, and the folder that it made. What it holds is the other end of its stdin."""
    command = [sys.executable, "-I", str(HERE / "tidy.py"), str(os.getpgrp())]
    # In a session of its own: what ends this process and its group does not reach it.
    tidy = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    return tidy, tidy.stdout.readline().decode().rstrip("\n")


def serve_ministack(folder):
    """Serve in the background; returns the port. MiniStack reads its settings while it is imported."""
    listener = socket.socket()
    listener.bind((local_aws.HOST, 0))
    port = listener.getsockname()[1]
    endpoint = f"http://{local_aws.HOST}:{port}"
    os.environ.update(
        TMPDIR=folder,
        GATEWAY_PORT=str(port),
        MINISTACK_HOST=local_aws.HOST,
        MINISTACK_REGION=REGION,
        MINISTACK_ACCOUNT_ID=ACCOUNT,
        # Signatures are checked, and the policies of the roles that sign.
        AUTH="true",
        # Lambda waits one minute and two before it repeats a failed delivery.
        LAMBDA_ASYNC_RETRY_BASE_SECONDS="0",
        # What a new account has: the least that this has to work with.
        LAMBDA_ACCOUNT_CONCURRENCY="10",
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        # For the functions. Not in the template, and so not in the functions' own environment either.
        AWS_ENDPOINT_URL=endpoint,
    )
    tempfile.tempdir = None

    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app

    import ministack_extension

    ministack_extension.install()
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    # Whoever asks for more than one thing keeps the connection.
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"

    def run():
        # Without a trigger of our own it would catch signals, which only the main thread may.
        asyncio.run(serve(judged(app), config, shutdown_trigger=asyncio.Event().wait))

    threading.Thread(target=run, daemon=True).start()
    wait_for(f"{endpoint}/_ministack/health")
    return endpoint


def judged(app):
    """An ASGI application whose requests and answers are held against Amazon's schema."""

    async def with_judge(scope, receive, send):
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        # What else there is, the code of functions above all, passes as it comes.
        if scope["type"] != "http" or schema.signed_for(headers) is None:
            return await app(scope, receive, send)
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        asked = scope["method"], target, headers, b"".join(parts)
        wrong = schema.refusal(*asked)
        if wrong:
            kind = [(b"content-type", b"application/json"), (b"x-amzn-errortype", schema.REFUSED.encode())]
            await send({"type": "http.response.start", "status": 400, "headers": kind})
            said = {"__type": schema.REFUSED, "message": wrong}
            return await send({"type": "http.response.body", "body": json.dumps(said).encode()})
        unread, status, answer = [{"type": "http.request", "body": asked[-1]}], 0, []

        async def read():
            return unread.pop() if unread else await receive()

        async def sent(message):
            nonlocal status
            status = message.get("status", status)
            answer.append(message.get("body", b""))
            await send(message)

        await app(scope, read, sent)
        schema.judge_answer(*asked, status, b"".join(answer))

    return with_judge


def wait_for(url):
    deadline = time.monotonic() + START_LIMIT
    while True:
        try:
            with urllib.request.urlopen(url, timeout=START_LIMIT) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, local_aws.END_SIGNALS)
    # Everything that the functions do is in this group, for tidy.py. Who started us may have made one already.
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    ready, sys.stdout = sys.stdout, sys.stderr
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    # Held to the end: tidy.py acts when the other end of its stdin is gone, and so are we.
    tidy, folder = start_tidy()
    aws = serve_ministack(folder)
    server = local_aws.serve(0, DeployedAws(Clients(aws)))
    ec2 = f"http://{local_aws.HOST}:{server.port}"
    os.environ["AWS_ENDPOINT_URL_EC2"] = ec2
    line = {"endpoint": ec2, "aws": aws, "folder": folder, "tidy": tidy.pid}
    print(json.dumps(line), file=ready, flush=True)
    threading.Thread(target=local_aws.end_with_stdin, daemon=True).start()
    signal.sigwait(local_aws.END_SIGNALS)
    local_aws.end()


if __name__ == "__main__":
    main()
