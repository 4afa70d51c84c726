"""Networks pretrained on ImageNet, as bodies that turn pixels into features; their weights are read without PyTorch."""
