"""The names of the headline metrics, the same in every run so that runs compare, and which way is better."""

HIGHER_IS_BETTER = {
    "chosen_val_accuracy": True,
    "chosen_val_loss": False,
    "cv_val_accuracy_mean": True,
    "cv_val_accuracy_std": False,
    "cv_val_loss_mean": False,
    "cv_val_loss_std": False,
    "test_accuracy": True,
    "test_accuracy_low": True,
    "test_accuracy_high": True,
    "test_loss": False,
    "test_macro_f1": True,
    "test_macro_precision": True,
    "test_macro_recall": True,
    "test_top5_accuracy": True,
    "fit_seconds": False,
    "images_per_second": True,
    "parameters": False,
    "model_bytes": False,
    "predict_ms_per_image": False,
}
