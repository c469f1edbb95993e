"""What groundup is measured against and is not somebody else's package."""
