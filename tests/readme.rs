//! Placeholder while the README is written.
