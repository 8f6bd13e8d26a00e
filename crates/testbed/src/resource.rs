//! A resource that accepts only the newest holder of a name.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::token::Token;

/// Names and tokens are far shorter.
const LONGEST_LINE: u64 = 4_096;

/// A resource outside of the grid that keeps the greatest token of each name and rejects smaller
/// ones. It is used in the process of the test, or by other processes over TCP, line by line:
///
/// | line | answer |
/// |---|---|
/// | `ACCEPT <name> <token>` | `OK`, `STALE <greatest>` or `FOREIGN <greatest>` |
/// | anything else | `ERROR <why>` |
///
/// When dropped, it closes its connections.
#[derive(Debug)]
pub struct Resource {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Accepts connections until the resource is closed, then joins the threads that it has
    /// started.
    listener: Option<JoinHandle<()>>,
}

/// The answer of a [`Resource`] to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The token is the greatest one of the name so far, or the same again.
    Accepted,
    /// The resource has seen a greater token.
    Stale {
        /// The greatest token.
        greatest: Token,
    },
    /// The name's tokens belong to another cluster.
    Foreign {
        /// The greatest token.
        greatest: Token,
    },
}

/// A token that was shown to a [`Resource`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was shown.
    pub at: Instant,
    /// The name that it was shown for.
    pub name: String,
    /// The token.
    pub token: Token,
    /// The answer of the resource.
    pub verdict: Verdict,
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Ledger {
    greatest: HashMap<String, Token>,
    history: Vec<Entry>,
}

#[derive(Debug, Default)]
struct Connections {
    closed: bool,
    open: Vec<TcpStream>,
}

impl Resource {
    /// Starts a resource on a free port of the loopback.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = match bound {
            Ok(bound) => bound,
            Err(error) => panic!("the resource cannot listen: {error}"),
        };
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let listener = std::thread::spawn(move || serving.serve(&listener));
        Self {
            shared,
            address,
            listener: Some(listener),
        }
    }

    /// Returns the address at which other processes can use it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows it a token of a name.
    pub fn accept(&self, name: &str, token: Token) -> Verdict {
        self.shared.accept(name, token)
    }

    /// Returns the greatest token of a name.
    #[must_use]
    pub fn greatest(&self, name: &str) -> Option<Token> {
        self.shared.ledger().greatest.get(name).copied()
    }

    /// Returns the tokens that it was shown, in order: all that it rejected, and those accepted
    /// ones that were new. (Repeats by the holder are left out, so that the history grows with
    /// holders, not with work.)
    #[must_use]
    pub fn history(&self) -> Vec<Entry> {
        self.shared.ledger().history.clone()
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        let mut connections = lock(&self.shared.connections);
        connections.closed = true;
        for connection in &connections.open {
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(connections);
        // The listener checks whether it is closed only when a connection arrives.
        if TcpStream::connect(self.address).is_ok()
            && let Some(listener) = self.listener.take()
        {
            let _ = listener.join();
        }
    }
}

impl Shared {
    fn accept(&self, name: &str, token: Token) -> Verdict {
        let mut ledger = self.ledger();
        let known = ledger.greatest.get(name).copied();
        let verdict = judge(known, token);
        if known != Some(token) {
            if verdict == Verdict::Accepted {
                ledger.greatest.insert(name.to_owned(), token);
            }
            let at = Instant::now();
            ledger.history.push(Entry {
                at,
                name: name.to_owned(),
                token,
                verdict,
            });
        }
        verdict
    }

    fn serve(self: Arc<Self>, listener: &TcpListener) {
        let mut serving = Vec::new();
        for stream in listener.incoming() {
            let mut connections = lock(&self.connections);
            if connections.closed {
                break;
            }
            let Ok((stream, kept)) = stream.and_then(|s| Ok((s.try_clone()?, s))) else {
                continue;
            };
            connections.open.push(kept);
            drop(connections);
            let shared = Arc::clone(&self);
            serving.push(std::thread::spawn(move || shared.answer(stream)));
        }
        for connection in serving {
            let _ = connection.join();
        }
    }

    /// Answers requests on one connection until either side ends it.
    fn answer(&self, stream: TcpStream) {
        let mut lines = BufReader::new(&stream);
        let mut line = String::new();
        while lines
            .by_ref()
            .take(LONGEST_LINE)
            .read_line(&mut line)
            .is_ok_and(|count| count > 0)
        {
            let answer = match request(&line) {
                Ok((name, token)) => match self.accept(name, token) {
                    Verdict::Accepted => "OK\n".to_owned(),
                    Verdict::Stale { greatest } => format!("STALE {greatest}\n"),
                    Verdict::Foreign { greatest } => format!("FOREIGN {greatest}\n"),
                },
                Err(why) => format!("ERROR {why}\n"),
            };
            if (&stream).write_all(answer.as_bytes()).is_err() {
                break;
            }
            line.clear();
        }
        // The copy that is kept for closing it would hold the connection open.
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }
}

fn judge(greatest: Option<Token>, token: Token) -> Verdict {
    match greatest {
        Some(greatest) if greatest.cluster != token.cluster => Verdict::Foreign { greatest },
        Some(greatest) if greatest.revision > token.revision => Verdict::Stale { greatest },
        _ => Verdict::Accepted,
    }
}

fn request(line: &str) -> Result<(&str, Token), String> {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        ["ACCEPT", name, token] => Ok((name, token.parse()?)),
        _ => Err("ask: ACCEPT <name> <token>".to_owned()),
    }
}

/// Ignores poisoning: nothing here panics while it holds a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(cluster: u64, revision: i64) -> Token {
        Token { cluster, revision }
    }

    #[test]
    fn keeps_the_greatest_token_of_each_name() {
        let resource = Resource::start();
        let greatest = token(1, 20);
        assert_eq!(resource.accept("leader", token(1, 10)), Verdict::Accepted);
        assert_eq!(resource.accept("leader", token(1, 10)), Verdict::Accepted);
        assert_eq!(resource.accept("leader", greatest), Verdict::Accepted);
        assert_eq!(
            resource.accept("leader", token(1, 10)),
            Verdict::Stale { greatest }
        );
        assert_eq!(
            resource.accept("leader", token(2, 30)),
            Verdict::Foreign { greatest }
        );
        assert_eq!(resource.accept("worker", token(1, 5)), Verdict::Accepted);

        assert_eq!(resource.greatest("leader"), Some(greatest));
        assert_eq!(resource.greatest("worker"), Some(token(1, 5)));
        assert_eq!(resource.greatest("other"), None);
        let history = resource.history();
        let shown: Vec<_> = history
            .iter()
            .map(|e| (e.name.as_str(), e.token.revision))
            .collect();
        assert_eq!(
            shown,
            [
                ("leader", 10),
                ("leader", 20),
                ("leader", 10),
                ("leader", 30),
                ("worker", 5)
            ]
        );
    }

    #[test]
    fn answers_other_processes_line_by_line() {
        let resource = Resource::start();
        let mut one = connect(&resource);
        let mut other = connect(&resource);
        assert_eq!(ask(&mut one, "ACCEPT leader 2a:10"), "OK");
        assert_eq!(ask(&mut other, "ACCEPT leader 2a:11"), "OK");
        assert_eq!(ask(&mut one, "ACCEPT leader 2a:10"), "STALE 2a:11");
        assert_eq!(ask(&mut one, "ACCEPT leader 2b:99"), "FOREIGN 2a:11");
        assert_eq!(ask(&mut one, "ACCEPT leader 17"), "ERROR not a token: 17");
        assert_eq!(ask(&mut one, "hello"), "ERROR ask: ACCEPT <name> <token>");
        assert_eq!(resource.greatest("leader"), Some(token(0x2a, 11)));

        drop(resource);
        assert_eq!(other.read_line(&mut String::new()).unwrap_or(0), 0);
    }

    fn connect(resource: &Resource) -> BufReader<TcpStream> {
        BufReader::new(TcpStream::connect(resource.address()).unwrap())
    }

    fn ask(connection: &mut BufReader<TcpStream>, line: &str) -> String {
        connection
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        connection.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}
