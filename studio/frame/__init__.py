"""The parts of the window around the panels: rail, top bar, status bar, drawer, palette, key map, questions."""
