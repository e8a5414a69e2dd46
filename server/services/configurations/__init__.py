"""Configuration documents: checked, stored as versions, encrypted, served."""
