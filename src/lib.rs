//! Blue/green deployments for any MySQL or MariaDB.

pub mod decode;
pub mod error;
pub mod model;
pub mod source;

pub use error::{Error, ErrorKind, Result};
