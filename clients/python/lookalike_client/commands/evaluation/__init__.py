"""What `evaluate` does: decide what is right, ask the service, measure, and report."""
