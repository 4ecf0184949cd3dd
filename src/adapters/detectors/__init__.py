"""Pictures to labelled boxes."""
