//! Which Docker Engine a person means, as their own environment says it.

use serde::{Deserialize, Serialize};

/// The variables by which the docker command chooses an engine, with their values where they are
/// set. They are those of the client that asks: a server keeps the environment it was started in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointChoice {
    host: Option<String>,
    context: Option<String>,
    /// The directory of docker's own configuration, which knows contexts and the current one.
    config: Option<String>,
}

impl EndpointChoice {
    /// What the environment says that `variables` reads.
    pub fn read(variables: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variables(name).filter(|value| !value.is_empty());
        Self {
            host: set("DOCKER_HOST"),
            context: set("DOCKER_CONTEXT"),
            config: set("DOCKER_CONFIG"),
        }
    }

    /// The value of one of the variables; for any other name, what `else_read` says.
    pub fn variable(
        &self,
        name: &str,
        else_read: impl FnOnce(&str) -> Option<String>,
    ) -> Option<String> {
        match name {
            "DOCKER_HOST" => self.host.clone(),
            "DOCKER_CONTEXT" => self.context.clone(),
            "DOCKER_CONFIG" => self.config.clone(),
            other => else_read(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_what_was_set_where_it_was_made_and_nothing_else() {
        let choice = EndpointChoice::read(|name| match name {
            "DOCKER_HOST" => Some("unix:///x.sock".to_owned()),
            "DOCKER_CONTEXT" => Some(String::new()),
            _ => None,
        });
        let elsewhere = |name: &str| Some(format!("the server's {name}"));
        let read = |name| choice.variable(name, elsewhere);
        assert_eq!(read("DOCKER_HOST").as_deref(), Some("unix:///x.sock"));
        assert_eq!((read("DOCKER_CONTEXT"), read("DOCKER_CONFIG")), (None, None));
        assert_eq!(read("HOME").as_deref(), Some("the server's HOME"));
    }
}
