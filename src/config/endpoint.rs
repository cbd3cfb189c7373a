//! The Docker Engine that the environment of this process chooses, for the requests it makes.

use crate::model::endpoint::EndpointChoice;

/// What this process's own environment says. A value that is no text is sent as far as it is one,
/// to be refused by name: a choice that was made must not count as none.
pub fn choice() -> EndpointChoice {
    EndpointChoice::read(|name| {
        let value = std::env::var_os(name)?;
        // The directory that it is taken from is this process's, not the server's.
        let value = match name {
            "DOCKER_CONFIG" if !value.is_empty() => {
                std::path::absolute(&value).map_or(value, Into::into)
            }
            _ => value,
        };
        Some(value.to_string_lossy().into_owned())
    })
}
