//! stub

pub mod endpoint;
