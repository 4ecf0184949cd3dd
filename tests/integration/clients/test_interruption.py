"""Signals are raised in a process of their own: engines that other tests have loaded here keep signal stacks of theirs,
and a signal that arrives on a stack long freed ends the process."""

import subprocess
import sys
import textwrap


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "import signal\n" + textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_first_ctrl_c_is_noted_and_the_second_interrupts() -> None:
    script = """
        from lookalike_client.commands.interruption import finish_on_interrupt

        with finish_on_interrupt() as interruption:
            print(interruption.requested)
            signal.raise_signal(signal.SIGINT)
            print(interruption.requested)
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                print("interrupted")
    """
    assert run(script).split() == ["False", "True", "interrupted"]


def test_sigterm_is_noted_like_ctrl_c() -> None:
    script = """
        from lookalike_client.commands.interruption import finish_on_interrupt

        with finish_on_interrupt() as interruption:
            signal.raise_signal(signal.SIGTERM)
            print(interruption.requested, interruption.code)
    """
    assert run(script).split() == ["True", "143"]


def test_ctrl_c_is_as_before_afterwards() -> None:
    script = """
        from lookalike_client.commands.interruption import finish_on_interrupt

        before = signal.getsignal(signal.SIGINT)
        with finish_on_interrupt():
            print(signal.getsignal(signal.SIGINT) is before)
        print(signal.getsignal(signal.SIGINT) is before)
    """
    assert run(script).split() == ["False", "True"]
