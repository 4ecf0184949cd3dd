"""What requests and answers look like: version 1 of the API, in JSON, parameters and problems."""
