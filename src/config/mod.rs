//! Rails read from files and merged: where the home is, what the user configured, which agents
//! are known. The values themselves are `model`'s.

pub mod endpoint;
pub mod file;
pub mod home;
pub mod notify;
pub mod profiles;
