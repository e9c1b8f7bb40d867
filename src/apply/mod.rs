//! A group of whole transactions → green, with its checkpoint in the same commit.

pub mod checkpoint;

pub use checkpoint::{Checkpoint, Stream};
