"""Finding, fetching, verifying and exporting models. What serves pictures imports nothing of it."""
