"""Factorization models: a user and an item are vectors, a score is their product plus two biases."""
