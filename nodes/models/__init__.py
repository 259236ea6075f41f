"""Networks: reading published files and folders, their layouts, text and image towers, noise, adapters."""
