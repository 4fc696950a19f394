"""Read prompt files and split them into train and eval."""
