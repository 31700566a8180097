"""Files of interactions or items, read line by line and stored in batches: memory stays the same whatever the size."""
