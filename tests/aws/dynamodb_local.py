"""Amazon's own DynamoDB Local in moto's place, where DYNAMODB_LOCAL is set.

It is Amazon's and not ours to pass on: its licence (LICENSE.txt in the package) asks for an AWS account in good standing and
forbids redistribution. So it is never part of the tree and never used by default; whoever sets the variable has npm fetch it
at that moment, into target/. It needs Java 17.
"""

import ctypes
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from faults import Reply

VARIABLE = "DYNAMODB_LOCAL"
PACKAGE = "amplify-dynamodb-simulator"
VERSION = "2.9.30"
SHA256 = "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9"
# target/, of which the virtual environment that runs this is a part.
TARGET = Path(sys.prefix).parents[1]
START_LIMIT = 60
# What belongs to one connection, and what is written anew.
OF_THE_CONNECTION = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


def is_wanted():
    return os.environ.get(VARIABLE, "") not in ("", "0")


class DynamoDbLocal:
    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # One data set for all keys and Regions, in memory, and nothing told to anybody.
        command = "java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djava.library.path=DynamoDBLocal_lib -jar DynamoDBLocal.jar"
        options = f"-port {self.port} -inMemory -sharedDb -disableTelemetry"
        self.process = subprocess.Popen(
            [*command.split(), *options.split()],
            cwd=fetched() / "package" / "emulator",
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            preexec_fn=end_with_parent,
        )
        deadline = time.monotonic() + START_LIMIT
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("DynamoDB Local did not start; it needs Java 17, and its reason is in this log")
            time.sleep(0.05)

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def answer(self, headers, body):
        """Passed on as it came; the signature is not looked at."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_LIMIT)
        try:
            passed = {name: value for name, value in headers.items() if name not in OF_THE_CONNECTION}
            connection.request("POST", "/", body, passed)
            answer = connection.getresponse()
            content, told = answer.read(), answer.getheaders()
        finally:
            connection.close()
        kept = [(name, value) for name, value in told if name.lower() not in OF_THE_CONNECTION | {"content-type"}]
        return Reply(answer.status, answer.headers.get("Content-Type", ""), content, tuple(kept))

    def reset(self, headers):
        """Without its tables it is as after its start."""
        for name in self.ask(headers, "ListTables", {})["TableNames"]:
            self.ask(headers, "DeleteTable", {"TableName": name})

    def ask(self, headers, operation, body):
        asked = headers | {"x-amz-target": f"DynamoDB_20120810.{operation}", "content-type": "application/x-amz-json-1.0"}
        return json.loads(self.answer(asked, json.dumps(body).encode()).body)


def end_with_parent():
    """However this process ends, Linux ends the other: PR_SET_PDEATHSIG."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def fetched():
    """The folder of the package, fetched once."""
    folder = TARGET / f"{PACKAGE}-{VERSION}"
    TARGET.mkdir(parents=True, exist_ok=True)
    with open(TARGET / f"{PACKAGE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fetch(folder)
    return folder


def fetch(folder):
    if shutil.which("npm") is None:
        raise RuntimeError(f"{VARIABLE} asks for Amazon's DynamoDB Local, which npm would fetch, and there is no npm here")
    with tempfile.TemporaryDirectory(dir=TARGET) as beside:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=beside, check=True, stdout=sys.stderr)
        archive = Path(beside) / f"{PACKAGE}-{VERSION}.tgz"
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SHA256:
            raise RuntimeError(f"{archive.name} has the SHA-256 {found}, and was checked with {SHA256}")
        with tarfile.open(archive) as files:
            files.extractall(Path(beside) / "unpacked")
        os.rename(Path(beside) / "unpacked", folder)
