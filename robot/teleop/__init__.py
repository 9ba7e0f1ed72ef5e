"""How a person leads the arm: gamepad, SpaceMouse, keyboard."""
