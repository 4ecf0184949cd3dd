"""What adapters that compute share: bounded threads, verified weights, compiled graphs."""
