"""The language of the product: value objects, policies, ports and errors. Standard library and numpy only."""
