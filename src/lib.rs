//! Blue/green deployments for any MySQL or MariaDB.

pub mod apply;
pub mod checks;
pub mod deployment;
pub mod error;
pub mod model;
pub mod net;

pub use error::{Error, ErrorKind, Result};
