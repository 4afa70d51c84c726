"""The model for someone who has rated no photo yet: pretrained features and a small head that is shipped with us."""
