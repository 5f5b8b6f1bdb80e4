"""The child process: takes requests from standard input, does them within limits, and answers on standard output.

Run as `python -m bonescan.sandbox.child`, never imported by the parent. Its first message is that it is ready. It ends
when its input ends. If a file exceeds a limit, the child is killed, and the parent starts a new child and refuses the
file.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any, BinaryIO

from bonescan.errors import BonescanError
from bonescan.sandbox.frames import Message, ProtocolError, read_message, write_message

MEMORY_BYTES = 176 * 2**20
"""Address space beyond that of the libraries: a file of the largest size, its pixels, and their copy as floats."""
PROCESSOR_SECONDS = 1.5
"""For one request; a scan takes a few hundredths of a second."""
_MOST_RECURSION = 600
_MOST_FILES = 64


def main() -> int:
    """Serve requests until there are no more."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Output that a library prints must not be mixed with the answers.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this process ends
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from bonescan.sandbox.tasks import TASKS, load_libraries

    load_libraries()
    _limit_resources()
    _send(answers, Message({"ready": True}))  # from here on, the parent's clock runs for requests alone
    while True:
        try:
            request = read_message(requests)
        except ProtocolError:
            return 0
        _limit_time(PROCESSOR_SECONDS)
        answer = _answer(TASKS, request)
        _limit_time(0.0)
        _send(answers, answer)


def _answer(tasks: dict[str, Any], request: Message) -> Message:
    """Do one request; every failure is answered with one sentence, which contains no value of the file."""
    try:
        asked = request.document
        paths = [Path(os.fsdecode(bytes.fromhex(path))) for path in asked["paths"]]
        done: Message = tasks[asked["task"]](paths, **asked["arguments"])
        return Message({"done": done.document}, done.arrays)
    except BonescanError as error:
        return Message({"error": type(error).__name__, "sentence": str(error)})
    except MemoryError:
        return Message({"error": "MemoryError", "sentence": ""})
    except Exception as error:
        return Message(
            {"error": "InputError", "sentence": f"the file is damaged ({type(error).__name__}); export it again"}
        )


def _send(answers: BinaryIO, answer: Message) -> None:
    try:
        write_message(answers, answer)
    except ProtocolError:
        write_message(answers, Message({"error": "MemoryError", "sentence": ""}))
    except OSError:
        sys.exit(0)  # the parent is gone


def _limit_resources() -> None:
    """Cap memory, open files and files written, where the system can (not on Windows)."""
    sys.setrecursionlimit(_MOST_RECURSION)
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_FILES, _MOST_FILES))
    taken = _address_space()
    if taken:
        most = taken + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _address_space() -> int:
    """Bytes of address space in use; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _limit_time(seconds: float) -> None:
    """End the process after so many seconds of processor time; 0 takes the limit away."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    sys.exit(main())
