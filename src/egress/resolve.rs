//! Names to addresses by the host's own configuration.
//!
//! The binary is static, so the C library's resolver is not there: `/etc/resolv.conf` and
//! `/etc/hosts` are read here, again whenever they change, as they do on a laptop.

#[cfg(test)]
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, select};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use tokio::time::timeout;

/// How long a name may take, with all of the resolver's own retries: what a person waits for.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long one family's answer waits for the other's: some name servers never answer for IPv6.
const OTHER_FAMILY: Duration = Duration::from_millis(500);

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

/// Resolvers for either family and the state of the files they were made from.
pub(super) struct Loaded {
    resolvers: Resolvers,
    stamps: Stamps,
}

#[derive(Clone)]
struct Resolvers {
    four: TokioResolver,
    six: TokioResolver,
}

type Stamps = [Option<SystemTime>; SOURCES.len()];

impl Resolver {
    pub(super) fn system() -> Self {
        Self::System(Mutex::new(None))
    }

    /// At least one address of a name that a box asked for, those of IPv4 first.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.look_up(name, &absolute(name)).await
    }

    /// The same for a name in the host's own settings, which may leave out the host's domain.
    pub(super) async fn resolve_own(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.look_up(name, name).await
    }

    async fn look_up(&self, name: &str, asked: &str) -> Result<Vec<IpAddr>, ResolveError> {
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
        let resolvers = current(state)?;
        let mut addresses = timeout(DEADLINE, resolvers.look_up(asked))
            .await
            .map_err(|_| ResolveError::Late(name.to_owned()))?
            .map_err(unknown)?;
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            Err(unknown("it has no address".to_owned()))
        } else {
            Ok(addresses)
        }
    }
}

impl Resolvers {
    /// The addresses of either family; those of one when the other is not answered for.
    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let (four, six) = (pin!(found(&self.four, name)), pin!(found(&self.six, name)));
        let (four, six) = match select(four, six).await {
            Either::Left((Err(error), six)) => (Err(error), six.await),
            Either::Right((Err(error), four)) => (four.await, Err(error)),
            Either::Left((four, six)) => (four, patient(six).await),
            Either::Right((six, four)) => (patient(four).await, six),
        };
        match (four, six) {
            (Err(error), Err(_)) => Err(error),
            (four, six) => Ok([four.unwrap_or_default(), six.unwrap_or_default()].concat()),
        }
    }
}

async fn found(resolver: &TokioResolver, name: &str) -> Result<Vec<IpAddr>, String> {
    let found = resolver.lookup_ip(name).await.map_err(|error| error.to_string())?;
    Ok(found.iter().collect())
}

/// What the second answer brings, when it comes soon.
async fn patient(
    answer: impl Future<Output = Result<Vec<IpAddr>, String>>,
) -> Result<Vec<IpAddr>, String> {
    timeout(OTHER_FAMILY, answer).await.unwrap_or_else(|_| Err("no answer".to_owned()))
}

/// A name with dots is whole: what was judged is not looked for below the host's own domains too.
fn absolute(name: &str) -> String {
    if name.contains('.') { format!("{name}.") } else { name.to_owned() }
}

/// The resolvers for the files as they are now.
fn current(state: &Mutex<Option<Box<Loaded>>>) -> Result<Resolvers, ResolveError> {
    let stamps =
        SOURCES.map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok());
    let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(loaded) = state.as_ref().filter(|loaded| loaded.stamps == stamps) {
        return Ok(loaded.resolvers.clone());
    }
    let unusable =
        |error: hickory_resolver::net::NetError| ResolveError::Unusable(error.to_string());
    let of_family = |strategy| {
        let mut builder = TokioResolver::builder_tokio().map_err(unusable)?;
        builder.options_mut().ip_strategy = strategy;
        builder.build().map_err(unusable)
    };
    let four = of_family(LookupIpStrategy::Ipv4Only)?;
    let resolvers = Resolvers { four, six: of_family(LookupIpStrategy::Ipv6Only)? };
    *state = Some(Box::new(Loaded { resolvers: resolvers.clone(), stamps }));
    Ok(resolvers)
}
