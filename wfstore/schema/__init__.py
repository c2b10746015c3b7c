"""Events as Arrow rows, and the columns every view promises: declared once, with type and sentence."""
