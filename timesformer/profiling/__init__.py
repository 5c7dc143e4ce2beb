"""What a model costs: parameters, multiply-adds, activation memory, tokens."""
