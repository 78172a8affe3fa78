"""Reads files in several processes, for a fleet's records; what is read comes in the files' order.

Each process reads every n-th group of files and sends what it finds in batches, so that none waits
long for another, and memory does not grow with the number or the size of the files.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeVar

from ci_sessions.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

__all__ = ["read_in_processes", "usable_processes"]

_BATCH = 250  # rows, which fit into a pipe
_MOST_WAITING = 50  # batches of a process that may wait until it is their turn
_MOST_PROCESSES = 4  # one process receives what all others read

Group = TypeVar("Group")
Row = TypeVar("Row")


def usable_processes() -> int:
    """Return how many processes can read; 1 if this process should rather read itself."""
    if sys.platform != "linux":  # elsewhere, a process cannot safely be forked
        return 1
    return min(_MOST_PROCESSES, len(os.sched_getaffinity(0)))


@dataclass(slots=True)
class _Reader:
    """A process that reads some of the groups, and the batches that have come too early."""

    process: BaseProcess
    connection: Connection
    waiting: deque[bytes] = field(default_factory=deque)
    is_done: bool = False

    def receive(self) -> None:
        """Receive a batch, or note that there are no more."""
        try:
            self.waiting.append(self.connection.recv_bytes())
        except EOFError:
            self.is_done = True


def read_in_processes(
    groups: Sequence[Group], read: Callable[[Group], Iterator[Row]], number: int
) -> Iterator[Row]:
    """Yield what ``read`` yields for each group of files, in order, from ``number`` processes.

    This process reads them if no others can be started. Raises InternalError if a process ends
    before it has read its files.
    """
    readers: list[_Reader] = []
    try:
        if not _start_all(groups, read, number, readers):
            yield from itertools.chain.from_iterable(map(read, groups))
            return
        for position in range(len(groups)):
            own = readers[position % number]
            while batch := _next_batch(own, readers):
                yield from batch
    finally:
        for reader in readers:
            reader.process.kill()
            reader.connection.close()
            reader.process.join()


def _start_all(
    groups: Sequence[Group],
    read: Callable[[Group], Iterator[Row]],
    number: int,
    readers: list[_Reader],
) -> bool:
    """Append processes to ``readers``; return whether there may be as many."""
    try:
        for part in range(number):
            readers.append(_start(groups[part::number], read, readers))
    except OSError:
        return False
    return True


def _start(
    groups: Sequence[Group], read: Callable[[Group], Iterator[Row]], readers: Sequence[_Reader]
) -> _Reader:
    context = multiprocessing.get_context("fork")
    source, sink = context.Pipe(duplex=False)

    def send() -> None:
        for connection in (source, *(reader.connection for reader in readers)):
            connection.close()  # only the parent reads, so that a reader sees that it is gone
        _send(sink, groups, read)

    process = context.Process(target=send, daemon=True)
    with _quiet_fork():
        process.start()
    sink.close()  # so that the end of the process is seen
    return _Reader(process, source)


@contextmanager
def _quiet_fork() -> Iterator[None]:
    """Leave signals to the parent, which ends its readers; they have nothing to clean up.

    They only read and send, so that threads of the parent, which Python warns about, do not matter.
    """
    left = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, left)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(
    sink: Connection, groups: Sequence[Group], read: Callable[[Group], Iterator[Row]]
) -> None:
    """Send the rows of each group in batches, and an empty one after each group."""
    with suppress(BrokenPipeError):  # the parent is gone
        for group in groups:
            rows = read(group)
            while batch := list(itertools.islice(rows, _BATCH)):
                sink.send_bytes(pickle.dumps(batch))
            sink.send_bytes(pickle.dumps([]))


def _next_batch(own: _Reader, readers: Sequence[_Reader]) -> list[Any]:
    """Return the next batch of a process. Meanwhile, keep what others send, up to a limit."""
    while True:
        able = {
            reader.connection: reader
            for reader in readers
            if not reader.is_done and len(reader.waiting) < _MOST_WAITING
        }
        for connection in wait(list(able), 0 if own.waiting else None) if able else ():
            able[connection].receive()  # type: ignore[index]
        if own.waiting:
            return pickle.loads(own.waiting.popleft())  # type: ignore[no-any-return]  # noqa: S301 - from this process's own child
        if own.is_done:
            raise InternalError("a process that read records ended early; was memory short?")
