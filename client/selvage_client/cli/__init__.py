"""The user's half of the `selvage` command; the operator's half joins by entry points."""

from selvage_client.cli.application import build_app


def main() -> None:
    """Run the `selvage` command."""
    build_app()()


__all__ = ["build_app", "main"]
