"""Give every converted image its BIDS name and show what is published as a BIDS dataset."""
