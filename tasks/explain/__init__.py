"""What a trained model looks at: activations, filters, Grad-CAM, weights."""
