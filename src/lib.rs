//! Blue/green deployments for any MySQL or MariaDB.

pub mod apply;
pub mod checks;
pub mod create;
pub mod decode;
pub mod deployment;
pub mod endpoint;
mod entropy;
pub mod error;
pub mod model;
pub mod net;
pub mod pipeline;
pub mod plan;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod source;
pub mod switchover;
pub mod watch;

pub use error::{Error, ErrorKind, Result};
