"""Where a run's numbers and pictures go: a file of ours, TensorBoard, Weights & Biases, MLflow."""
