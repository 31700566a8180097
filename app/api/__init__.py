"""HTTP in, HTTP out: one module per noun, each translating requests and calling one thing."""
