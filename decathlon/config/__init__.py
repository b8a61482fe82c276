"""What a user may set: options, recipes and the recipe files that come with the package."""
