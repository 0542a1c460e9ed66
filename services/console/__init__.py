"""The console: one page that shows the lab alive, and switches that break the network."""
