"""TCP echo: every byte comes back, unchanged and in order."""
