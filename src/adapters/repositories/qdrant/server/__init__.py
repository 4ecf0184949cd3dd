"""The verbs as a Qdrant server or cluster answers them."""
