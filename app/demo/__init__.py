"""The demonstration: real ratings, or made-up ones without a network, in the store that the settings name."""
