"""Records, vectors and nearest neighbours."""
