"""What a trained network looks at: pure functions on models."""
