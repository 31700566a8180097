"""What a replica keeps in memory: the model in use, what users did, and the thread that keeps both current."""
