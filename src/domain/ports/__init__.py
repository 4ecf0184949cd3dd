"""What the product needs from technology: promises, shapes, units and errors. Adapters implement these."""
