"""From the stored interactions to a published model version. Only the trainer's process imports what needs torch."""
