"""What deployed_aws.py leaves behind, however it ended: the functions that it ran and its temporary folder.

    python tidy.py GROUP

Makes the folder, prints its path, and waits for the end of its stdin, which the process that started it holds. Then it
ends that process's group and removes the folder. It is a program of its own because nobody can tidy up after their own
SIGKILL.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile

if __name__ == "__main__":
    for end_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(end_signal, signal.SIG_IGN)
    folder = tempfile.mkdtemp(prefix="elephant-")
    print(folder, flush=True)
    sys.stdin.buffer.read()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(int(sys.argv[1]), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
