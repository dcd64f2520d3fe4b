"""What ships beside the code: the starter model, its sample project, and the files the window shows."""
