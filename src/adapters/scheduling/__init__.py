"""Which work goes next, and how much goes at once: waiting lines, slots, batches."""
