"""`lookalike-client`, or `python -m lookalike_client`: the command line, which the extra [commands] brings."""

import sys

COMMANDS_NEED = frozenset({"typer", "rich", "PIL", "charset_normalizer", "pathspec", "watchfiles"})


def main() -> None:
    """Run one command, and exit."""
    try:
        from lookalike_client.commands import alone

        alone.main()
    except ModuleNotFoundError as error:
        if error.name not in COMMANDS_NEED:
            raise
        sys.exit(
            f"lookalike-client: {error.name} is not installed. The command line needs it: "
            "pip install './clients/python[commands]' in the clone."
        )


if __name__ == "__main__":
    main()
