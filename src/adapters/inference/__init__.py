"""What runtimes compute on: devices, compiled graphs, cores, memory."""
