"""What the API answers, and the JSON that it takes. Names and shapes are the contract of version 1."""
