//! A TCP proxy between clients and servers, which drops connections, loses answers and holds them back when a test says
//! so.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Where a proxy passes connections on to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A Unix socket.
    Socket(PathBuf),
    /// One of these addresses, chosen anew for each connection among those that accept it.
    OneOf(Vec<SocketAddr>),
}

/// A running proxy. It ends with this value, and all of its connections with it.
pub struct Proxy {
    pub address: SocketAddr,
    passages: Arc<Mutex<Vec<Weak<Passage>>>>,
    /// Whether answers are held back.
    held: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

/// One connection through the proxy.
struct Passage {
    cut: CancellationToken,
    /// Whether the next answer is lost, and the connection with it.
    loses_answer: AtomicBool,
    held: watch::Receiver<bool>,
}

impl Proxy {
    /// Begins to accept connections on a free port.
    pub async fn start(target: Target) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (held, hold) = watch::channel(false);
        let passages: Arc<Mutex<Vec<Weak<Passage>>>> = Arc::default();
        let known = passages.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let passage = Arc::new(Passage {
                    cut: CancellationToken::new(),
                    loses_answer: AtomicBool::new(false),
                    held: hold.clone(),
                });
                let mut known = known.lock().unwrap();
                known.retain(|passage| passage.strong_count() > 0);
                known.push(Arc::downgrade(&passage));
                tokio::spawn(pass_on(client, target.clone(), passage));
            }
        });
        Proxy { address, passages, held, accepting }
    }

    /// Drops connections: one of them at once, or each when its server answers next, so that the answers are lost. Returns
    /// whether there were any.
    pub fn cut_some(&self, random: &mut Rng) -> bool {
        let open = self.open();
        let Some(one) = random.choice(&open) else { return false };
        if random.bool() {
            one.cut.cancel();
        } else {
            open.iter().for_each(|passage| passage.loses_answer.store(true, Ordering::SeqCst));
        }
        true
    }

    /// Loses no answer any more.
    pub fn calm_down(&self) {
        self.open().iter().for_each(|passage| passage.loses_answer.store(false, Ordering::SeqCst));
    }

    /// Holds all answers back until [`Proxy::release`].
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Passes on what was held back, and everything that follows.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    fn open(&self) -> Vec<Arc<Passage>> {
        self.passages.lock().unwrap().iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.open().iter().for_each(|passage| passage.cut.cancel());
    }
}

async fn pass_on(client: TcpStream, target: Target, passage: Arc<Passage>) {
    match target {
        Target::Socket(path) => {
            if let Ok(server) = UnixStream::connect(path).await {
                passage.carry(client, server).await;
            }
        }
        Target::OneOf(mut addresses) => {
            fastrand::shuffle(&mut addresses);
            for address in addresses {
                if let Ok(server) = TcpStream::connect(address).await {
                    return passage.carry(client, server).await;
                }
            }
        }
    }
}

impl Passage {
    /// Passes bytes on in both directions until either side closes its connection, or this one is cut.
    async fn carry(&self, client: TcpStream, server: impl AsyncRead + AsyncWrite + Unpin) {
        let (mut requests, to_client) = client.into_split();
        let (answers, mut to_server) = tokio::io::split(server);
        tokio::select! {
            () = self.cut.cancelled() => {}
            _ = tokio::io::copy(&mut requests, &mut to_server) => {}
            () = self.carry_answers(answers, to_client) => {}
        }
    }

    async fn carry_answers(
        &self,
        mut answers: impl AsyncRead + Unpin,
        mut to_client: impl AsyncWrite + Unpin,
    ) {
        let (mut buffer, mut held) = (vec![0; 65_536], self.held.clone());
        while let Ok(read @ 1..) = answers.read(&mut buffer).await {
            // The sender is dropped with the proxy, which ends the connection.
            let is_free = held.wait_for(|held| !held).await.is_ok();
            let is_lost = self.loses_answer.swap(false, Ordering::SeqCst);
            if !is_free || is_lost || to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
