"""What a user could install instead of our servers, each as an expert would set it up."""
