"""What people would build or run instead, with the same weights. Each is started as a process of its own."""
