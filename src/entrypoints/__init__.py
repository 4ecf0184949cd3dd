"""What the outside touches: HTTP and the command line; settings and the composition root."""
