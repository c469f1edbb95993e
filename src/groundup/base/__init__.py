"""What every room stands on: errors, safe files, and pinned packages fetched through pip."""
