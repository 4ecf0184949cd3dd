"""The HTTP API, version 1.

- `contract/`: what requests and answers look like: JSON, parameters, filters, problems, the OpenAPI document.
- `server/`: connections, starting and stopping, and what every request and answer goes through.
- `access/`: keys, roles, rate limits, pages of other origins.
- `routes/`: the operations, and what they share: dependencies, uploads, downloads.

Each imports only those above it; `app.py` puts them together.
"""
