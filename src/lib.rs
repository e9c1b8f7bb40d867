//! Blue/green deployments for any MySQL or MariaDB.

pub mod apply;
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

pub use error::{Error, ErrorKind, Result};
