"""Looking at a packed file: contact sheets, images as training cuts them, and how many a class has."""
