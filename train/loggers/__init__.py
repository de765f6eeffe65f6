"""Where a training's metrics go beside metrics.jsonl: TensorBoard, Weights & Biases, MLflow."""
