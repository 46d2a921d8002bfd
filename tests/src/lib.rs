//! Stories of the whole system, and the rules of the house; all of it is in `tests/`.
