"""A small travel-demand forecast for downtown San Francisco, remembered by Consist."""
