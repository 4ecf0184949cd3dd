"""`lookalike-client`, or `python -m lookalike_client`: the command line, by the extras [commands] and [evaluate]."""

import sys

EXTRAS = {
    "typer": "commands",
    "rich": "commands",
    "PIL": "commands",
    "charset_normalizer": "commands",
    "pathspec": "commands",
    "watchfiles": "commands",
    "numpy": "commands,evaluate",
}
"""By which each module is installed that only commands need."""


def main() -> None:
    """Run one command, and exit."""
    try:
        from lookalike_client.commands import alone

        alone.main()
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        sys.exit(
            f"lookalike-client: {error.name} is not installed. The command line needs it: "
            f"pip install './clients/python[{EXTRAS[error.name]}]' in the clone."
        )


if __name__ == "__main__":
    main()
