"""What an operator sees: metrics for Prometheus, spans for OpenTelemetry, and the wrappers of ports that make both."""
