"""A small supervisor: starts processes, restarts the ones that die, stops them in order."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

from ops.log import ServiceLog
from ops.processes import kill_group, start_process

_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 10.0
_STEADY_SECONDS = 30.0
_ONE_REQUEST_SECONDS = 1.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_LINE_BYTES = 64 * 2**10


@dataclass(frozen=True)
class ChildSpec:
    """One process to keep alive.

    Attributes:
        name: what its lines in the log begin with.
        command: program and arguments.
        env: the whole environment of the process.
        stop_rank: processes of a lower rank are stopped, and waited for, before the next.
        before_restart: called right before a restart with the exit code (negative: the signal) and
            the seconds it lived; may repair what the process needs, and returns a line for the log
            or None.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    stop_rank: int = 0
    before_restart: Callable[[int, float], str | None] | None = None


def restart_delay(previous_seconds: float, lived_seconds: float) -> float:
    """Return how long to wait before a restart, in seconds.

    It doubles from 0.2 s to 10 s, and begins anew after a life of 30 s.
    """
    if previous_seconds == 0.0 or lived_seconds >= _STEADY_SECONDS:
        return _FIRST_DELAY_SECONDS
    return min(previous_seconds * 2, _LONGEST_DELAY_SECONDS)


class _Output:
    """Cuts what a process writes into lines."""

    def __init__(self, name: str, fd: int, log: ServiceLog) -> None:
        self._name = name
        self._fd = fd
        self._log = log
        self._rest = b""

    def pump(self) -> bool:
        """Read what is there and log whole lines; False at the end of the stream."""
        data = os.read(self._fd, 2**16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > _LONGEST_LINE_BYTES):
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._log.line(self._name, line.rstrip(b"\r").decode("utf-8", "replace"))
        return bool(data)


class _Child:
    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.start_due_at = 0.0
        self.delay_seconds = 0.0
        self.deaths_in_a_row = 0
        self.last_ending: tuple[int, float] | None = None


class Supervisor:
    """Keeps processes alive. Single-threaded: everything happens inside `run`, `step` and `stop`.

    All processes are started from the thread that calls, which must be one that lives as long as
    they shall (`start_process`).

    Args:
        specs: the processes, in the order in which they are started.
        log: where their lines go.
        shutdown_seconds: time that each process gets between SIGTERM and SIGKILL.
    """

    def __init__(
        self, specs: Sequence[ChildSpec], log: ServiceLog, *, shutdown_seconds: float
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._log = log
        self._shutdown_seconds = shutdown_seconds
        self._selector = selectors.DefaultSelector()
        self._stop_requests = 0
        self._stop_asked_at = 0.0

    @property
    def stopping(self) -> bool:
        """Whether a signal or `request_stop` asked for the end."""
        return self._stop_requests > 0

    @property
    def deaths_in_a_row(self) -> dict[str, int]:
        """Deaths and failed starts of each process, by name, since it last lived for 30 s."""
        return {child.spec.name: child.deaths_in_a_row for child in self._children}

    def pids(self) -> dict[str, int]:
        """Return the process ids of those that run, by name."""
        return {
            child.spec.name: child.process.pid
            for child in self._children
            if child.process is not None
        }

    def request_stop(self) -> None:
        """Ask `run` to end; a second time, kill instead of waiting."""
        self._stop_requests += 1

    def stop_at_end_of(self, fd: int) -> None:
        """Also stop when the stream `fd` ends, which it does when its other owner dies."""
        self._selector.register(fd, selectors.EVENT_READ, None)

    def run(self, each_step: Callable[[], None] | None = None) -> None:
        """Start all and keep them alive until SIGINT, SIGTERM, SIGHUP or `request_stop`.

        Args:
            each_step: called about five times a second.
        """

        def on_signal(_signum: int, _frame: FrameType | None) -> None:
            # One Ctrl-C can arrive twice, from the terminal and from a parent that passes it on.
            now = time.monotonic()
            if not self.stopping or now - self._stop_asked_at > _ONE_REQUEST_SECONDS:
                self._stop_asked_at = now
                self.request_stop()

        previous = {
            number: signal.signal(number, on_signal)
            for number in _STOP_SIGNALS
            # `nohup` and shells that start a job in the background ask for deafness to some.
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            while not self.stopping:
                self.step()
                if each_step is not None:
                    each_step()
        finally:
            self.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def step(self, timeout_seconds: float = 0.2) -> None:
        """Log what was written, notice deaths, start what is due; takes up to the timeout."""
        self._pump(timeout_seconds)
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._bury(child, child.process, now)
            if child.process is None and now >= child.start_due_at and not self.stopping:
                self._start(child, now)

    def stop(self) -> None:
        """Stop all processes in the order of their ranks."""
        for rank in sorted({child.spec.stop_rank for child in self._children}):
            self._stop_rank([child for child in self._children if child.spec.stop_rank == rank])
        self._pump(0)
        self._selector.close()

    def _start(self, child: _Child, now: float) -> None:
        if child.spec.before_restart is not None and child.last_ending is not None:
            message = child.spec.before_restart(*child.last_ending)
            if message:
                self._log.note(message)
        try:
            process = start_process(child.spec.command, child.spec.env, stdout=subprocess.PIPE)
        except (OSError, subprocess.SubprocessError) as error:
            # No memory or no process left for the moment: that must not take the others along.
            self._plan_restart(child, f"could not be started ({error})", 0.0, now)
            return
        assert process.stdout is not None
        output = _Output(child.spec.name, process.stdout.fileno(), self._log)
        self._selector.register(process.stdout, selectors.EVENT_READ, output)
        child.process = process
        child.started_at = now

    def _bury(self, child: _Child, process: subprocess.Popen[bytes], now: float) -> None:
        """Clear away what a dead process left and set the time of its restart."""
        kill_group(process)
        code = process.returncode
        lived_seconds = now - child.started_at
        child.process = None
        child.last_ending = (code, lived_seconds)
        ending = f"{_ending(code)} after {lived_seconds:.1f} s"
        self._plan_restart(child, ending, lived_seconds, now)

    def _plan_restart(self, child: _Child, ending: str, lived_seconds: float, now: float) -> None:
        steady = lived_seconds >= _STEADY_SECONDS
        child.deaths_in_a_row = 1 if steady else child.deaths_in_a_row + 1
        child.delay_seconds = restart_delay(child.delay_seconds, lived_seconds)
        child.start_due_at = now + child.delay_seconds
        self._log.note(f"{child.spec.name} {ending}; restart in {child.delay_seconds:.1f} s")

    def _stop_rank(self, children: list[_Child]) -> None:
        alive = {c.spec.name: c.process for c in children if c.process is not None}
        for process in alive.values():
            # To the leader alone: a second SIGTERM would make a grandchild stop uncleanly.
            process.terminate()
        deadline = time.monotonic() + self._shutdown_seconds
        while any(process.poll() is None for process in alive.values()):
            if time.monotonic() >= deadline or self._stop_requests > 1:
                break
            self._pump(0.05)
        for name, process in alive.items():
            if process.poll() is None:
                self._log.note(f"{name} did not stop in time and is killed")
            kill_group(process)
            process.wait()
            self._pump(0)
        for child in children:
            child.process = None

    def _pump(self, timeout_seconds: float) -> None:
        for key, _ in self._selector.select(timeout_seconds):
            output: _Output | None = key.data
            if output is not None and output.pump():
                continue
            if output is None and os.read(key.fd, 2**16):
                continue
            self._selector.unregister(key.fileobj)
            if output is None:
                self.request_stop()
            elif not isinstance(key.fileobj, int):
                key.fileobj.close()  # type: ignore[attr-defined]


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
