//! Blue/green deployments for any MySQL or MariaDB.

pub mod error;
pub mod model;

pub use error::{Error, ErrorKind, Result};
