"""A crew of processes on this machine, forked from one that has imported what they need."""

import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from ..pool.workers import start_worker, worker_context
from ..sides import num_cores
from .engine import Engine, Place
from .member import Death, Member, Order, failure_of

_DYING_SECONDS = 10.0  # that a process may take to end once its connection is closed


class LocalCrew:
    """A `Crew` of processes; those with a GPU share out the machine's."""

    def __init__(self, order: Order, engine: Engine) -> None:
        self.num_workers = engine.workers or engine.gpus or 1
        self._gpus = engine.gpus or max(torch.cuda.device_count(), 1)
        self._order = replace(order, workers=self.num_workers)
        self._threads = max(1, torch.get_num_threads() // self.num_workers)
        self._context = worker_context(preload=["weldcache.extract.engines.member"])
        self._processes: dict[int, BaseProcess] = {}
        self._connections: dict[int, Connection] = {}

    def start(self, number: int) -> None:
        here, there = self._context.Pipe()
        cores = max(1, num_cores() // self.num_workers)
        place = Place(number, self.num_workers, number % self._gpus, self.num_workers, cores)
        # Not a daemon: it has decode processes of its own.
        process = self._context.Process(target=_serve, args=(there, self._order, number, place, self._threads))
        with there:
            process.start()
        self._processes[number], self._connections[number] = process, here

    def ask(self, number: int, method: str, *arguments: object) -> None:
        with suppress(OSError):  # it has ended, which is its answer
            self._connections[number].send((method, arguments))

    def answers(self, *, seconds: float) -> Sequence[tuple[int, Any]]:
        ready = wait(self._connections.values(), timeout=seconds)
        numbers = [number for number, connection in self._connections.items() if connection in ready]
        return [(number, self._answer(number)) for number in numbers]

    def kill(self, number: int) -> None:
        self._processes[number].kill()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
        for number in list(self._processes):
            self._forget(number)

    def _answer(self, number: int) -> Any:
        try:
            return self._connections[number].recv()
        except (EOFError, OSError):
            return Death(self._forget(number))

    def _forget(self, number: int) -> str:
        """Let go of a process that has ended; how it did."""
        self._connections.pop(number).close()
        process = self._processes.pop(number)
        process.join(_DYING_SECONDS)
        code = process.exitcode
        if code is None:
            process.kill()
            return "it fell silent"
        return f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _serve(connection: Connection, order: Order, number: int, place: Place, threads: int) -> None:
    """Run in the process of a worker until whoever hands out the spans lets go of the connection, or ends."""
    start_worker()
    try:
        member = Member(order, number=number, place=place, threads=threads)
    except Exception as error:
        connection.send(failure_of(error))
        return
    connection.send(member.ready())
    with suppress(EOFError):
        while True:
            method, arguments = connection.recv()
            try:
                connection.send(getattr(member, method)(*arguments))
            except Exception as error:
                connection.send(failure_of(error))
    member.close()
