//! The command line over the library.
fn main() {}
