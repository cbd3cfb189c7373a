//! Names to addresses by the host's own configuration.
//!
//! The binary is static, so the C library's resolver is not there: `/etc/resolv.conf` and
//! `/etc/hosts` are read here, again whenever they change, as they do on a laptop.

#[cfg(test)]
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use tokio::time::timeout;

/// How long a name may take, with all of the resolver's own retries: what a person waits for.
const DEADLINE: Duration = Duration::from_secs(10);

/// Addresses of one name that are tried at most, so that a name cannot make us dial a network.
const MAX_ADDRESSES: usize = 8;

/// The files a resolver is made of.
const SOURCES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("the host's resolver is not usable: {0}")]
    Unusable(String),
    #[error("{name} does not resolve: {reason}")]
    Unknown { name: String, reason: String },
    #[error("{0} did not resolve in time")]
    Late(String),
}

/// Resolves names for every environment.
pub(super) enum Resolver {
    System(Mutex<Option<Box<Loaded>>>),
    /// A fixed table.
    #[cfg(test)]
    Table(HashMap<String, Vec<IpAddr>>),
}

/// A resolver and the state of the files it was made from.
pub(super) struct Loaded {
    resolver: TokioResolver,
    stamps: Stamps,
}

type Stamps = [Option<SystemTime>; SOURCES.len()];

impl Resolver {
    pub(super) fn system() -> Self {
        Self::System(Mutex::new(None))
    }

    /// At least one address of a name, those of IPv4 first.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let state = match self {
            Self::System(state) => state,
            #[cfg(test)]
            Self::Table(table) => {
                let unknown =
                    || ResolveError::Unknown { name: name.to_owned(), reason: "not there".into() };
                return table.get(name).cloned().ok_or_else(unknown);
            }
        };
        let unknown = |reason| ResolveError::Unknown { name: name.to_owned(), reason };
        let resolver = current(state)?;
        let found = timeout(DEADLINE, resolver.lookup_ip(name))
            .await
            .map_err(|_| ResolveError::Late(name.to_owned()))?
            .map_err(|error| unknown(error.to_string()))?;
        let addresses: Vec<IpAddr> = found.iter().take(MAX_ADDRESSES).collect();
        if addresses.is_empty() {
            Err(unknown("it has no address".to_owned()))
        } else {
            Ok(addresses)
        }
    }
}

/// The resolver for the files as they are now.
fn current(state: &Mutex<Option<Box<Loaded>>>) -> Result<TokioResolver, ResolveError> {
    let stamps =
        SOURCES.map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok());
    let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(loaded) = state.as_ref().filter(|loaded| loaded.stamps == stamps) {
        return Ok(loaded.resolver.clone());
    }
    let unusable =
        |error: hickory_resolver::net::NetError| ResolveError::Unusable(error.to_string());
    let mut builder = TokioResolver::builder_tokio().map_err(unusable)?;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let resolver = builder.build().map_err(unusable)?;
    *state = Some(Box::new(Loaded { resolver: resolver.clone(), stamps }));
    Ok(resolver)
}
