"""What all models of this code location use."""
